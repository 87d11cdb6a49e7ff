// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Glibc

/// The directory that holds everything of a fleet that `busbar up` runs on one machine.
///
/// ```
/// pki/      ca.pem ca.key agents/NODE.pem NODE.key coordinator.pem .key operators/admin.pem .key
/// store/    the coordinator's decisions
/// records/  the enforcers' lease records: a link into a tmpfs where there is one
/// run/      sockets and pid files            logs/     one file for each process
/// fleet.json  where the fleet is             fleet.plan  the compiled topology
/// lock      held while `up` runs
/// ```
package struct StateDirectory: Hashable, Sendable {
    /// The longest path of a directory whose sockets still fit a socket address of 107 bytes.
    package static let maximumPathByteCount = 80

    /// An absolute path, without a slash at its end.
    package let path: String

    /// Names a directory; a relative path is taken from the working directory.
    package init(_ path: String) {
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    package var certificates: String { path + "/pki" }
    package var authority: String { certificates + "/ca.pem" }
    package var operatorCertificate: String { certificates + "/operators/admin.pem" }
    package var operatorKey: String { certificates + "/operators/admin.key" }
    package var coordinatorCertificate: String { certificates + "/coordinator.pem" }
    package var coordinatorKey: String { certificates + "/coordinator.key" }
    package var agentCertificates: String { certificates + "/agents" }
    package var store: String { path + "/store" }
    package var records: String { path + "/records" }
    package var run: String { path + "/run" }
    package var logs: String { path + "/logs" }
    package var plan: String { path + "/fleet.plan" }
    package var contact: String { path + "/fleet.json" }
    package var hardwareSocket: String { run + "/hardware.sock" }
    private var lockFile: String { path + "/lock" }

    /// The directory to use: the option, else `BUSBAR_STATE`, else the default place.
    package static func resolve(
        option: String?, environment: (String) -> String? = Terminal.environment
    ) -> StateDirectory {
        if let option, !option.isEmpty { return StateDirectory(option) }
        if let named = environment("BUSBAR_STATE"), !named.isEmpty { return StateDirectory(named) }
        if let base = environment("XDG_STATE_HOME"), base.hasPrefix("/") {
            return StateDirectory(base + "/busbar")
        }
        return StateDirectory((environment("HOME") ?? "/tmp") + "/.local/state/busbar")
    }

    /// Makes the directory and its parts, for this user's eyes only, and takes its lock.
    ///
    /// - Throws: `CommandFailure` when another `up` holds the lock, and when the directory cannot be
    ///   used.
    package func open() throws(CommandFailure) -> StateLock {
        guard path.utf8.count <= StateDirectory.maximumPathByteCount else {
            throw CommandFailure(
                .usage, "the state directory's path is too long for sockets: \(path)",
                hint: "give one of at most \(StateDirectory.maximumPathByteCount) bytes by --state")
        }
        for directory in [path, certificates, store, run, logs] {
            try StateDirectory.makeDirectory(directory)
        }
        return try StateLock(path: lockFile, directory: path)
    }

    /// Makes the place of the lease records.
    ///
    /// They are void after a reboot, so they belong on a tmpfs: hundreds of simulated nodes that
    /// each sync theirs to one disk would keep their enforcer from its deadlines.
    package func makeRecords() throws(CommandFailure) {
        let shared = sharedRecords
        if mkdir(shared, 0o700) == 0 || errno == EEXIST {
            var status = stat()
            // Another user may have put something there: it must be a directory of our own.
            let isOurs =
                lstat(shared, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
                && status.st_uid == geteuid() && status.st_mode & 0o077 == 0
            if isOurs {
                unlink(records)
                if symlink(shared, records) == 0 || errno == EEXIST { return }
            }
        }
        try StateDirectory.makeDirectory(records)
    }

    /// Removes the lease records: the simulated machines are off, and nothing in them counts any more.
    package func removeRecords() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: records)) ?? [] {
            unlink("\(records)/\(name)")
        }
        rmdir(sharedRecords)
        unlink(records)
    }

    /// Where the records of this state directory are on the tmpfs.
    private var sharedRecords: String {
        let hash = path.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3
        }
        return "/dev/shm/busbar-\(geteuid())-" + String(hash, radix: 16)
    }

    private static func makeDirectory(_ path: String) throws(CommandFailure) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
        } catch {
            throw CommandFailure(
                .permission, "cannot make the directory \(path): \(reason(of: error))",
                hint: "choose another place with --state")
        }
    }

    /// What the system says of an error of Foundation, in few words.
    private static func reason(of error: any Error) -> String {
        let below = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        guard let below, below.domain == NSPOSIXErrorDomain else {
            return error.localizedDescription
        }
        return systemError(Int32(below.code))
    }

    /// Replaces a file by one with these contents; a private one is readable for this user only.
    package static func write(
        _ bytes: [UInt8], to path: String, isPrivate: Bool = true
    ) throws(CommandFailure) {
        do {
            try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw CommandFailure(
                .permission, "cannot write \(path): \(reason(of: error))",
                hint: "make room or choose another place with --state")
        }
        chmod(path, isPrivate ? 0o600 : 0o644)
    }
}

/// The lock on a state directory: held until the process ends, however it ends.
package final class StateLock: Sendable {
    private let descriptor: Int32

    fileprivate init(path: String, directory: String) throws(CommandFailure) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(.permission, "cannot open \(path): \(systemError(errno))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = StateLock.holder(descriptor)
            close(descriptor)
            throw CommandFailure(
                .refused, "another `busbar up`\(holder) runs on \(directory)",
                hint: "stop it, or give this one a directory of its own with --state")
        }
        ftruncate(descriptor, 0)
        Terminal.write("\(getpid())\n", to: descriptor)
        self.descriptor = descriptor
    }

    private static func holder(_ descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &buffer, buffer.count)
        let digits = buffer.prefix(max(0, count)).prefix { (48...57).contains($0) }
        return digits.isEmpty ? "" : " (process \(String(decoding: digits, as: UTF8.self)))"
    }

    deinit { close(descriptor) }
}

/// Where a running fleet is, as `up` leaves it for the other commands.
package struct FleetContact: Codable, Hashable, Sendable {
    package var fleet: String
    /// `host:port` of the protocol; several with commas.
    package var endpoint: String
    /// `host:port` of metrics and health.
    package var http: String
    package var ca: String
    package var cert: String
    package var key: String
    /// The process of `busbar up`.
    package var pid: Int32

    package init(
        fleet: String, endpoint: String, http: String, ca: String, cert: String, key: String,
        pid: Int32
    ) {
        self.fleet = fleet
        self.endpoint = endpoint
        self.http = http
        self.ca = ca
        self.cert = cert
        self.key = key
        self.pid = pid
    }

    /// Writes the file that ``load(from:)`` reads.
    package func write(to directory: StateDirectory) throws(CommandFailure) {
        let value = JSONValue.object([
            ("fleet", .string(fleet)), ("endpoint", .string(endpoint)), ("http", .string(http)),
            ("ca", .string(ca)), ("cert", .string(cert)), ("key", .string(key)),
            ("pid", .integer(Int64(pid))),
        ])
        try StateDirectory.write(Array((value.text + "\n").utf8), to: directory.contact)
    }

    /// Reads where the fleet of a state directory is.
    ///
    /// - Throws: `CommandFailure` with status `unavailable` when no fleet was started there.
    package static func load(
        from directory: StateDirectory
    ) throws(CommandFailure) -> FleetContact {
        guard let data = FileManager.default.contents(atPath: directory.contact) else {
            throw CommandFailure(
                .unavailable, "no fleet was started in \(directory.path)",
                hint: "start one with `busbar up TOPOLOGY`, or say where it is with --state "
                    + "or --coordinator")
        }
        do {
            return try JSONDecoder().decode(FleetContact.self, from: data)
        } catch {
            throw CommandFailure(
                .unavailable, "\(directory.contact) is damaged",
                hint: "start the fleet again with `busbar up`, which writes it anew")
        }
    }
}
