// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoordinatorService
import DecisionStoreEtcd
import StoreAccess

/// `store`: what is done with stores while no coordinator runs.
struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Move a fleet's stores.", subcommands: [Migrate.self])
}

/// `store migrate`: moves all stores of a fleet.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Move a fleet's stores to other places.",
        discussion: "Stop the coordinators first. Run it again when it was cut off.")

    @OptionGroup var options: StoreOptions
    @Option(help: "Where the fleet's store goes.") var toFleetStore: String
    @Option(help: "Where the sites' stores go.") var toSiteStore: String

    func run() async throws {
        let new = try StoreOptions.places(toFleetStore, toSiteStore)
        try await options.run { tools, old in try await tools.migrate(from: old, to: new) }
    }
}

/// `backup`: all stores of a fleet in one file.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a fleet's stores into a file; of etcd while the fleet runs.")

    @OptionGroup var options: StoreOptions
    @Argument(help: "The file; there must be none.") var file: String

    func run() async throws {
        try await options.run { tools, places in try await tools.backup(places, to: file) }
    }
}

/// `restore`: puts a backup into empty stores.
struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put a backup into empty stores, in commissioning.")

    @OptionGroup var options: StoreOptions
    @Argument(help: "The backup.") var file: String

    func run() async throws {
        try await options.run { tools, places in try await tools.restore(file, to: places) }
    }
}
