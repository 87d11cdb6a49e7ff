// SPDX-License-Identifier: Apache-2.0

internal import SecureTransport
internal import TLSEngine

/// Where a fleet's coordinators are, and with which certificate to come.
struct FleetAddress: Sendable {
    /// In the order in which they are tried; at least one.
    var endpoints: [Endpoint]
    var credentials: TLSCredentials.Files
    /// The state directory it was found in, for hints.
    var stateDirectory: StateDirectory?

    /// The fleet of a state directory.
    init(_ directory: StateDirectory) throws(CommandFailure) {
        let contact = try FleetContact.load(from: directory)
        endpoints = try FleetAddress.endpoints(contact.endpoint)
        credentials = .init(certificate: contact.cert, key: contact.key, authority: contact.ca)
        stateDirectory = directory
    }

    /// Coordinators by name.
    ///
    /// - Parameters:
    ///   - coordinators: `HOST:PORT`, several with commas.
    ///   - credentials: the operator's.
    /// - Throws: `CommandFailure` when a part is not `HOST:PORT`.
    init(coordinators: String, credentials: TLSCredentials.Files) throws(CommandFailure) {
        endpoints = try FleetAddress.endpoints(coordinators)
        self.credentials = credentials
    }

    /// The endpoints as a person wrote them.
    var text: String { endpoints.map(\.description).joined(separator: ",") }

    /// Why nobody could be reached.
    func failure(_ reason: CloseReason?) -> CommandFailure {
        guard let reason else {
            return CommandFailure(
                .unavailable, "no coordinator answers at \(text)", hint: startHint)
        }
        if case .tls(let failure) = reason, failure != .truncated {
            return CommandFailure(
                .permission, "\(text): \(failure)",
                hint: "check that certificate, key and authority belong to this fleet")
        }
        return CommandFailure(
            .unavailable, "no coordinator answers at \(text): \(reason)", hint: startHint)
    }

    private var startHint: String? {
        guard let stateDirectory else { return "check that the coordinator runs, and its port" }
        return "is `busbar up` still running on \(stateDirectory.path)?"
    }

    private static func endpoints(_ text: String) throws(CommandFailure) -> [Endpoint] {
        var endpoints: [Endpoint] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let endpoint = Endpoint(text: String(part)), endpoint.port > 0 else {
                throw CommandFailure(
                    .usage, "`\(part)` is not HOST:PORT",
                    hint: "write coordinators as host:port, several with commas")
            }
            endpoints.append(endpoint)
        }
        return endpoints
    }
}
