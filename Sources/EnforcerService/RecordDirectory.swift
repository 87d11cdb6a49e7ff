// SPDX-License-Identifier: Apache-2.0

package import ControlPlane
internal import FleetModel
internal import Glibc
internal import LocalSocket

/// Why a record could not be kept.
package struct RecordError: Error, Hashable, Sendable, CustomStringConvertible {
    package var path: String
    package var operation: String
    package var errno: Int32

    package var description: String { "\(operation) '\(path)': \(describeErrno(errno))" }
}

/// What an enforcer keeps on disk between its lives.
package protocol RecordStorage: AnyObject {
    /// The record of a node; nil when there is none that can be read.
    func record(of node: String) -> LeaseRecord?

    /// Replaces the record of a node, whole or not at all; it survives SIGKILL from then on.
    ///
    /// - Throws: ``RecordError``; the record before is still there.
    func store(_ record: LeaseRecord, of node: String) throws(RecordError)

    /// What the self-test measured on a node, in nanoseconds, if it has passed there.
    func proof(of node: String) -> Int64?

    /// Keeps what the self-test measured.
    ///
    /// - Throws: ``RecordError``.
    func storeProof(_ nanoseconds: Int64, of node: String) throws(RecordError)
}

/// A directory with a few small files for each node, best on tmpfs; one process holds its lock.
///
/// ```
/// NODE.lease     the record: replaced by rename, so it survives SIGKILL; not synced, for a lease
///                counts only in the boot that wrote it
/// NODE.fallback  the fallback alone, whenever it changes: synced, for it counts for ever
/// NODE.proof     what the self-test measured
/// OWNER.lock     held while the process lives
/// ```
package final class RecordDirectory: RecordStorage {
    private let path: String
    private let lockDescriptor: Int32
    /// The version of the fallback that is synced to disk, of nodes that were looked at.
    private var syncedFallbacks: [String: UInt64] = [:]

    /// Opens a directory, makes it if needed (mode 0700), and takes its lock.
    ///
    /// - Parameters:
    ///   - path: the directory.
    ///   - owner: names the lock: enforcers of different nodes may share a directory.
    /// - Throws: ``RecordError``, with `EWOULDBLOCK` when another enforcer holds the lock.
    package init(path: String, owner: String) throws(RecordError) {
        self.path = path
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw RecordError(path: path, operation: "mkdir", errno: errno)
        }
        let lockPath = "\(path)/\(owner).lock"
        lockDescriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lockDescriptor >= 0 else {
            throw RecordError(path: lockPath, operation: "open", errno: errno)
        }
        guard flock(lockDescriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(lockDescriptor)
            throw RecordError(path: lockPath, operation: "lock", errno: code)
        }
    }

    deinit { close(lockDescriptor) }

    package func record(of node: String) -> LeaseRecord? {
        let lease = read("\(node).lease").flatMap(RecordCodec.decode)
        guard let synced = read("\(node).fallback").flatMap(RecordCodec.decode) else {
            return lease
        }
        syncedFallbacks[node] = synced.fallbackVersion
        guard var record = lease else { return synced }
        // A power loss may have brought back an older lease file; the ledger allows for every
        // fallback that was ever committed, so the newer one is safe.
        if synced.fallbackVersion > record.fallbackVersion {
            record.fallback = synced.fallback
            record.fallbackVersion = synced.fallbackVersion
        }
        return record
    }

    package func store(_ record: LeaseRecord, of node: String) throws(RecordError) {
        if syncedFallbacks[node] != record.fallbackVersion {
            var fallbackAlone = record
            fallbackAlone.bootID = .none
            fallbackAlone.fence = .zero
            fallbackAlone.fenceEpochID = .none
            fallbackAlone.cap = .zero
            fallbackAlone.leaseNanoseconds = 0
            let bytes = RecordCodec.encode(fallbackAlone)
            try replace("\(node).fallback", with: bytes, isSynced: true)
            syncedFallbacks[node] = record.fallbackVersion
        }
        try replace("\(node).lease", with: RecordCodec.encode(record), isSynced: false)
    }

    package func proof(of node: String) -> Int64? {
        guard let bytes = read("\(node).proof") else { return nil }
        return Int64(String(decoding: bytes, as: UTF8.self))
    }

    package func storeProof(_ nanoseconds: Int64, of node: String) throws(RecordError) {
        try replace("\(node).proof", with: Array(String(nanoseconds).utf8), isSynced: true)
    }

    // MARK: - Files

    /// The content of a small file; nil when it cannot be read.
    func read(_ name: String) -> [UInt8]? {
        let descriptor = open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var bytes: [UInt8] = []
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0, bytes.count <= 1 << 20 else { return nil }
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    /// Replaces a file: a new one is written beside it and renamed over it.
    ///
    /// - Throws: ``RecordError``; the file before is still there.
    func replace(_ name: String, with bytes: [UInt8], isSynced: Bool) throws(RecordError) {
        let target = "\(path)/\(name)"
        let fresh = target + ".new"
        let descriptor = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw RecordError(path: fresh, operation: "open", errno: errno)
        }
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes {
                write(descriptor, $0.baseAddress.map { $0 + start }, bytes.count - start)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failed("write", fresh, closing: descriptor) }
            start += count
        }
        if isSynced, fdatasync(descriptor) != 0 {
            throw failed("fdatasync", fresh, closing: descriptor)
        }
        close(descriptor)
        guard rename(fresh, target) == 0 else {
            throw RecordError(path: target, operation: "rename", errno: errno)
        }
        if isSynced { try syncDirectory() }
    }

    /// Removes a file, if it is there.
    func remove(_ name: String) { unlink("\(path)/\(name)") }

    private func syncDirectory() throws(RecordError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw RecordError(path: path, operation: "open", errno: errno)
        }
        guard fsync(descriptor) == 0 else { throw failed("fsync", path, closing: descriptor) }
        close(descriptor)
    }

    private func failed(_ operation: String, _ path: String, closing descriptor: Int32)
        -> RecordError
    {
        let code = errno
        close(descriptor)
        return RecordError(path: path, operation: operation, errno: code)
    }
}
