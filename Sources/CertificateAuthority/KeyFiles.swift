// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Who may read a file.
enum FileAudience {
    /// The owner alone: keys.
    case owner
    /// Everybody: certificates.
    case everybody

    var mode: mode_t {
        switch self {
        case .owner: 0o600
        case .everybody: 0o644
        }
    }
}

/// Writes a file so that it is there whole, with its permissions, or not at all.
///
/// It is written under another name, which nobody can have opened before, and then given its own.
///
/// - Parameters:
///   - text: the contents.
///   - path: the file's name; its directory must exist.
///   - audience: who may read it.
///   - replacing: whether a file of that name may be replaced.
/// - Throws: ``AuthorityError`` that names the file.
func writeFile(
    _ text: String, to path: String, for audience: FileAudience, replacing: Bool
) throws(AuthorityError) {
    let temporary = "\(path).\(getpid()).new"
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, audience.mode)
    guard descriptor >= 0 else { throw systemError(temporary) }
    defer { unlink(temporary) }
    do throws(AuthorityError) {
        try write(Array(text.utf8), to: descriptor, temporary)
    } catch {
        close(descriptor)
        throw error
    }
    guard close(descriptor) == 0 else { throw systemError(temporary) }
    // A link fails where a file is, a rename replaces it; both happen at once or not at all.
    let result = replacing ? rename(temporary, path) : link(temporary, path)
    guard result == 0 else { throw systemError(path) }
}

/// Makes a directory and those above it, for the owner alone, unless they exist.
///
/// - Parameter path: the directory.
/// - Throws: ``AuthorityError`` that names it.
func makeDirectory(_ path: String) throws(AuthorityError) {
    if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
        throw systemError(path)
    }
    try makeDirectory(String(path[..<slash]))
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw systemError(path) }
}

/// Reads a whole small text file.
///
/// - Parameter path: the file.
/// - Returns: its text.
/// - Throws: ``AuthorityError`` that names it.
func readText(_ path: String) throws(AuthorityError) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError(path) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count == 0 { break }
        guard count > 0 else { throw systemError(path) }
        bytes += chunk[..<count]
        guard bytes.count <= 1 << 20 else {
            throw AuthorityError(message: "\(path): larger than 1 MiB, which no certificate is")
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func write(
    _ bytes: [UInt8], to descriptor: Int32, _ path: String
) throws(AuthorityError) {
    var done = 0
    while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes {
            Glibc.write(descriptor, $0.baseAddress, $0.count)
        }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw systemError(path) }
        done += count
    }
}

private func systemError(_ path: String) -> AuthorityError {
    AuthorityError(message: "\(path): \(String(cString: strerror(errno)))")
}
