// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What tells that one of several files was changed: their inodes, sizes and times.
struct FileStamp: Hashable, Sendable {
    private var values: [Int64] = []

    /// Looks at the files now; one that is missing counts as such.
    init(_ paths: [String]) {
        for path in paths {
            var status = stat()
            guard stat(path, &status) == 0 else {
                values.append(-1)
                continue
            }
            values += [
                Int64(truncatingIfNeeded: status.st_ino), Int64(status.st_size),
                Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec),
            ]
        }
    }
}

extension TLSCredentials.Files {
    /// What tells that one of the files was changed.
    var stamp: FileStamp { FileStamp([certificate, key, authority]) }
}

/// Which state of some files is in use, and which was refused.
///
/// Files that cannot be used are named once and not read again until one of them changes: a look
/// every second must not make a line in the log every second. Replacing a certificate and its key
/// takes two writes; whoever looks between them refuses the half, and takes the whole at the next.
struct FollowedFiles: Sendable {
    private var inUse: FileStamp?
    private var refused: FileStamp?

    /// Begins with files that are in use; nil where nothing is followed.
    init(inUse: FileStamp?) { self.inUse = inUse }

    /// True when the files are neither those in use nor those that were refused last.
    func isNews(_ stamp: FileStamp) -> Bool { stamp != inUse && stamp != refused }

    /// The files with this stamp are in use now.
    mutating func use(_ stamp: FileStamp?) {
        inUse = stamp
        refused = nil
    }

    /// The files with this stamp cannot be used.
    mutating func refuse(_ stamp: FileStamp) { refused = stamp }
}
