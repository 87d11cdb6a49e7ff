// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Reading whole files of bounded size.
enum FileText {
    /// The largest file that is read: a hundred times the largest fleet that one file describes.
    static let maximumByteCount = 16 << 20

    /// Reads a file.
    ///
    /// - Throws: ``ConfigurationError`` when it cannot be read, is not a plain file, or is larger than
    ///   ``maximumByteCount``.
    static func read(_ path: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw problem(path, "cannot be read: \(message(errno))") }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) != 0 {
            throw problem(path, "cannot be read: \(message(errno))")
        }
        if status.st_mode & S_IFMT != S_IFREG { throw problem(path, "is not a plain file") }
        return try contents(of: descriptor, path: path)
    }

    private static func contents(
        of descriptor: Int32, path: String
    ) throws(ConfigurationError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw problem(path, "cannot be read: \(message(errno))")
            }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > maximumByteCount {
                throw problem(path, "is larger than \(maximumByteCount >> 20) MiB")
            }
        }
    }

    private static func problem(_ path: String, _ reason: String) -> ConfigurationError {
        ConfigurationError(problems: [
            .init(file: path, line: 0, column: 0, reason: reason, hint: nil)
        ])
    }

    private static func message(_ code: Int32) -> String { String(cString: strerror(code)) }
}
