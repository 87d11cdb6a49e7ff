// SPDX-License-Identifier: Apache-2.0

internal import CertificateAuthority
internal import FleetModel
internal import Foundation
internal import TLSEngine

/// The certificates of a fleet that `up` runs: an authority of its own, and one for each process.
struct DevelopmentCertificates {
    /// Ten years: nobody renews the certificates of a fleet on a laptop.
    private static let days = 3650
    /// The name of the one coordinator, and of the operator who started the fleet.
    private static let coordinatorName = "coordinator"
    private static let operatorName = "admin"

    let directory: StateDirectory
    private let authority: FleetAuthority
    private let validity: Validity

    /// Loads the authority of a state directory, or makes it.
    init(directory: StateDirectory, fleet: String) throws(CommandFailure) {
        let now = Int64(Date().timeIntervalSince1970)
        let validity = Validity.days(DevelopmentCertificates.days, from: now)
        do {
            authority =
                FileManager.default.fileExists(atPath: directory.authority)
                ? try FleetAuthority(loadingFrom: directory.certificates)
                : try FleetAuthority.create(
                    fleet: fleet, in: directory.certificates, validity: validity)
        } catch {
            throw CommandFailure(
                .refused, error.message,
                hint: "remove \(directory.certificates) to have new certificates made")
        }
        guard authority.fleet == fleet else {
            throw CommandFailure(
                .refused, "\(directory.path) belongs to fleet \(authority.fleet), not \(fleet)",
                hint: "give this fleet a directory of its own with --state")
        }
        self.directory = directory
        self.validity = validity
    }

    /// Issues what is missing.
    ///
    /// - Parameters:
    ///   - topology: whose nodes get one each.
    ///   - progress: called now and then with the number of nodes done.
    /// - Throws: `CommandFailure` when a certificate cannot be made or written.
    func issueMissing(
        for topology: Topology, progress: (Int) -> Void
    ) throws(CommandFailure) {
        try issue(
            .coordinator(
                site: SpiffeIdentity.everySite, name: DevelopmentCertificates.coordinatorName),
            certificate: directory.coordinatorCertificate, key: directory.coordinatorKey)
        try issue(
            .operator(name: DevelopmentCertificates.operatorName),
            certificate: directory.operatorCertificate, key: directory.operatorKey)
        for (position, node) in topology.nodes.enumerated() {
            let path = "\(directory.agentCertificates)/\(node.name)"
            try issue(
                .agent(site: topology.sites[node.site.position].name, node: node.name),
                certificate: path + ".pem", key: path + ".key")
            if position % 50 == 49 { progress(position + 1) }
        }
    }

    private func issue(
        _ role: SpiffeIdentity.Role, certificate: String, key: String
    ) throws(CommandFailure) {
        // The certificate is written last, so where it is the key is too.
        if FileManager.default.fileExists(atPath: certificate) { return }
        do {
            try authority.issue(
                try SpiffeIdentity(fleet: authority.fleet, role: role), validity: validity,
                certificatePath: certificate, keyPath: key)
        } catch {
            throw CommandFailure(.permission, "cannot issue \(certificate): \(error)")
        }
    }
}
