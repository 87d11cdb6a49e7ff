// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Reading whole files of bounded size.
enum FileText {
    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - maximumByteCount: the most that is read.
    /// - Returns: the whole file.
    /// - Throws: ``ConfigurationError`` when it cannot be read, is not a plain file, or is too large.
    static func read(
        _ path: String, maximumByteCount: Int = YAMLDocument.maximumByteCount
    ) throws(ConfigurationError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw problem(path, "it cannot be read: \(message(errno))") }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) != 0 {
            throw problem(path, "it cannot be read: \(message(errno))")
        }
        if status.st_mode & S_IFMT != S_IFREG { throw problem(path, "it is not a plain file") }
        return try contents(
            of: descriptor, path: path, maximumByteCount: maximumByteCount)
    }

    private static func contents(
        of descriptor: Int32, path: String, maximumByteCount: Int
    ) throws(ConfigurationError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw problem(path, "it cannot be read: \(message(errno))")
            }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > maximumByteCount {
                throw problem(path, "the file is larger than \(maximumByteCount >> 20) MiB")
            }
        }
    }

    private static func problem(_ path: String, _ reason: String) -> ConfigurationError {
        ConfigurationError(file: path, reason)
    }

    private static func message(_ code: Int32) -> String { String(cString: strerror(code)) }
}
