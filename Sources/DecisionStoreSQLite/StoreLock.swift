// SPDX-License-Identifier: Apache-2.0

import DecisionStore
import Glibc

/// An exclusive lock on a store, held from `init` until the value is gone or the process ends.
///
/// The lock is on a file of its own beside the database: closing any descriptor of the database
/// itself would drop the POSIX locks that SQLite holds on it.
struct StoreLock: ~Copyable {
    private let descriptor: Int32

    /// Takes the lock of a database, and makes sure that the database's file exists with mode 0600.
    ///
    /// - Throws: ``StoreError/unavailable(_:)`` when another process holds it,
    ///   ``StoreError/failed(_:)`` when a file cannot be made.
    init(databasePath: String) throws(StoreError) {
        let lockPath = databasePath + ".lock"
        let held = try StoreLock.open(lockPath)
        do throws(StoreError) {
            try StoreLock.acquire(held, lockPath: lockPath, databasePath: databasePath)
            try StoreLock.verify(held, isStill: lockPath)
            Glibc.close(try StoreLock.open(databasePath))
            try StoreLock.synchronizeDirectory(of: databasePath)
        } catch {
            Glibc.close(held)
            throw error
        }
        descriptor = held
    }

    deinit { Glibc.close(descriptor) }

    private static func open(_ path: String) throws(StoreError) -> Int32 {
        // Not inherited: a child would keep the lock beyond the life of this process.
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if descriptor < 0 { throw .failed("cannot open '\(path)': \(message(errno))") }
        return descriptor
    }

    private static func acquire(
        _ descriptor: Int32, lockPath: String, databasePath: String
    ) throws(StoreError) {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
        if errno == EWOULDBLOCK {
            throw .unavailable("'\(databasePath)' is held by another process")
        }
        throw .failed("cannot lock '\(lockPath)': \(message(errno))")
    }

    /// Makes sure that the locked file was not replaced while we waited for nothing.
    private static func verify(
        _ descriptor: Int32, isStill path: String
    ) throws(StoreError) {
        var held = stat()
        var named = stat()
        guard fstat(descriptor, &held) == 0, stat(path, &named) == 0,
            held.st_ino == named.st_ino, held.st_dev == named.st_dev
        else { throw .unavailable("'\(path)' was replaced while it was being locked") }
    }

    /// Makes the names of new files survive a crash of the machine.
    private static func synchronizeDirectory(of path: String) throws(StoreError) {
        var directory = "."
        if let slash = path.lastIndex(of: "/") {
            directory = slash == path.startIndex ? "/" : String(path[..<slash])
        }
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { throw .failed("cannot open '\(directory)': \(message(errno))") }
        defer { Glibc.close(descriptor) }
        if fsync(descriptor) != 0 {
            throw .failed("cannot write '\(directory)' to disk: \(message(errno))")
        }
    }

    private static func message(_ code: Int32) -> String { String(cString: strerror(code)) }
}
