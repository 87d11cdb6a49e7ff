// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A directory of one test, removed with all its files when the test ends.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/busbar-socket-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw Failure(reason: "no temporary directory: errno \(errno)")
        }
        path = String(cString: made)
    }

    struct Failure: Error {
        var reason: String
    }

    deinit {
        guard let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(path)/\(name)")
        }
        closedir(directory)
        rmdir(path)
    }
}
