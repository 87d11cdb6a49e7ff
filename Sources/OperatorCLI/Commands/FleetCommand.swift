// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Glibc
internal import TLSEngine
internal import Wire

/// A command that asks a running fleet.
protocol FleetCommand: AsyncParsableCommand {
    var fleet: FleetOptions { get }
    /// Does the work, with a session that is closed afterwards.
    func run(_ client: OperatorClient) async throws(CommandFailure)
}

extension FleetCommand {
    func run() async throws {
        try await fleet.withClient { client async throws(CommandFailure) in try await run(client) }
    }

    /// How long one request may take.
    var deadline: Duration { fleet.deadline }
}

extension FleetOptions {
    /// The longest wait for a connection before a command says that nobody answers.
    private static let patience = Duration.seconds(3)

    /// How long one request may take.
    var deadline: Duration { .milliseconds(Int64(timeout * 1000)) }

    /// The fleet that the options name.
    func address() throws(CommandFailure) -> FleetAddress {
        guard let coordinator, let cert, let key, let ca else {
            return try FleetAddress(stateDirectory)
        }
        return try FleetAddress(
            coordinators: coordinator,
            credentials: .init(certificate: cert, key: key, authority: ca))
    }

    /// Runs `body` with a session to the fleet.
    ///
    /// - Parameters:
    ///   - patience: how long a request waits for a connection; nil takes a request's deadline where
    ///     there are several coordinators, else a few seconds of it.
    ///   - body: the work; the session is closed after it.
    /// - Returns: what the body returns.
    /// - Throws: what the body throws, and `CommandFailure` when there is no fleet to ask.
    func withClient<Result: Sendable>(
        patience: Duration? = nil,
        _ body: (OperatorClient) async throws(CommandFailure) -> Result
    ) async throws(CommandFailure) -> Result {
        let address = try address()
        // Of several coordinators one takes over when another dies: that is worth the wait.
        let usual =
            address.endpoints.count > 1 ? deadline : min(FleetOptions.patience, deadline)
        let client = try OperatorClient(address, patience: patience ?? usual)
        client.open()
        do throws(CommandFailure) {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }
}

extension OutputFormat {
    /// Writes a list to stdout: as a table, or as an array in an object under `name`.
    func write<Item: Listed>(_ items: [Item], as name: String) {
        switch self {
        case .json:
            write(.object([(name, .array(items.map(\.json)))]))
        case .table, .wide:
            Terminal.write(Item.table(items).text(width: tableWidth), to: 1)
        }
    }

    /// Writes a document to stdout.
    func write(_ json: JSONValue) { Terminal.write(json.text + "\n", to: 1) }
}

extension RandomID {
    /// An id that no other client has.
    static func make() -> RandomID {
        var generator = SystemRandomNumberGenerator()
        return RandomID(high: generator.next(), low: generator.next())
    }
}
