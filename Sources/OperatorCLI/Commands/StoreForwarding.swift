// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Glibc

// Stores are the coordinator's: its program has their libraries, and this one stays small. It takes the
// arguments of these commands as they are.

/// `busbar store`: moves a fleet's stores.
struct StoreForward: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Move a fleet's stores: embedded to etcd and back.")

    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

    func run() throws { try forward("store", arguments) }
}

/// `busbar backup`: writes a fleet's stores into a file.
struct BackupForward: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Write a fleet's stores into a file.")

    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

    func run() throws { try forward("backup", arguments) }
}

/// `busbar restore`: puts a backup into empty stores.
struct RestoreForward: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup into empty stores.")

    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

    func run() throws { try forward("restore", arguments) }
}

/// Becomes the coordinator's program, which lies beside this one.
private func forward(_ command: String, _ arguments: [String]) throws(CommandFailure) {
    let program = try FleetProcesses.programDirectory() + "/busbar-coordinator"
    let words = [program, command] + arguments
    var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    pointers.append(nil)
    execv(program, pointers)
    let reason = systemError(errno)
    for pointer in pointers { free(pointer) }
    throw CommandFailure(
        .unavailable, "cannot run \(program): \(reason)",
        hint: "install or build all programs together (`swift build`)")
}
