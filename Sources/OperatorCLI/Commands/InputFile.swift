// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Files that are read whole.
enum InputFile {
    /// Reads a file, or stdin for `-`.
    ///
    /// - Parameters:
    ///   - path: the file; pipes will do.
    ///   - limit: the most bytes that are taken in.
    /// - Returns: its bytes.
    /// - Throws: ``CommandFailure`` when it is not there, not to be read, or too large.
    static func read(_ path: String, atMost limit: Int) throws(CommandFailure) -> [UInt8] {
        if path == "-" { return try read(descriptor: 0, path, limit) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path, errno) }
        defer { close(descriptor) }
        return try read(descriptor: descriptor, path, limit)
    }

    private static func read(
        descriptor: Int32, _ path: String, _ limit: Int
    ) throws(CommandFailure) -> [UInt8] {
        var status = stat()
        var expected = 0
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
            expected = Int(status.st_size)
            if expected > limit { throw tooLarge(path, limit) }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(expected + 1)
        while true {
            // One byte more than expected tells the end without another buffer.
            let chunk = max(1 << 16, min(expected + 1 - bytes.count, 1 << 24))
            var (count, reason): (Int, Int32) = (0, 0)
            let before = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: chunk))
            repeat {
                count = bytes.withUnsafeMutableBytes {
                    Glibc.read(descriptor, $0.baseAddress! + before, chunk)
                }
                reason = errno
            } while count < 0 && reason == EINTR
            bytes.removeLast(chunk - max(0, count))
            guard count >= 0 else { throw failure(path, reason) }
            if count == 0 { return bytes }
            if bytes.count > limit { throw tooLarge(path, limit) }
        }
    }

    private static func tooLarge(_ path: String, _ limit: Int) -> CommandFailure {
        CommandFailure(
            .refused, "\(path) has more than \(limit >> 20) MiB", hint: "split it")
    }

    private static func failure(_ path: String, _ reason: Int32) -> CommandFailure {
        let text = "\(path) cannot be read: \(String(cString: strerror(reason)))"
        switch reason {
        case ENOENT, ENOTDIR: return CommandFailure(.notFound, text, hint: "check the path")
        case EACCES, EPERM:
            return CommandFailure(.permission, text, hint: "check who may read it")
        default: return CommandFailure(.refused, text, hint: "name a file that can be read")
        }
    }
}

extension Terminal {
    /// Writes bytes to a descriptor; false when the other end is gone.
    @discardableResult
    static func write(bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var position = 0
            while position < buffer.count {
                let count = Glibc.write(
                    descriptor, buffer.baseAddress! + position, buffer.count - position)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                position += count
            }
            return true
        }
    }
}
