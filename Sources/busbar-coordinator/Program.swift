// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoordinatorService

/// The command line of the coordinator; without a subcommand it serves.
@main
struct BusbarCoordinator: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "busbar-coordinator",
        abstract: "Leads a fleet: places jobs, keeps the ledger of watts, grants leases.",
        version: CoordinatorVersion.current,
        subcommands: [Serve.self, StoreCommand.self, Backup.self, Restore.self],
        defaultSubcommand: Serve.self)
}
