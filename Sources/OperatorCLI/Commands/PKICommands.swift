// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import CertificateAuthority
internal import Foundation
internal import TLSEngine

/// `busbar pki`: the certificates of a fleet.
struct PKICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pki", abstract: "Make a fleet's authority and issue certificates.",
        subcommands: [PKIInit.self, PKIIssue.self, PKIShow.self])
}

extension CommandFailure {
    /// A certificate that could not be made or read.
    init(_ error: AuthorityError) { self.init(.refused, error.message) }
}

/// How long certificates are good.
private func validity(days: Int) -> Validity {
    .days(days, from: Int64(Date().timeIntervalSince1970))
}

struct PKIInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make an authority and the first administrator.")

    @Argument(help: ArgumentHelp("The fleet's name.", valueName: "fleet")) var fleet: String
    @Option(help: ArgumentHelp("Where everything goes.", valueName: "dir")) var dir = "pki"
    @Option(help: ArgumentHelp("How long the authority is trusted.", valueName: "days"))
    var days = 3650
    @Option(help: ArgumentHelp("The administrator's name.", valueName: "name")) var admin = "admin"

    func validate() throws {
        if !(1...36_500).contains(days) { throw ValidationError("--days is from 1 to 36500") }
    }

    func run() throws {
        do {
            let authority = try FleetAuthority.create(
                fleet: fleet, in: dir, validity: validity(days: days))
            let path = "\(dir)/operators/\(admin)"
            try authority.issue(
                try PKIIssue.identity(fleet: fleet, .operator(name: admin)),
                validity: validity(days: min(days, 365)), certificatePath: path + ".pem",
                keyPath: path + ".key")
            Terminal.write("authority      \(dir)/ca.pem (keep \(dir)/ca.key offline)\n", to: 1)
            Terminal.write("administrator  \(path).pem, \(path).key\n", to: 1)
        } catch let error as AuthorityError {
            throw CommandFailure(error)
        }
    }
}

struct PKIIssue: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue",
        abstract: "Issue a certificate to an agent, a coordinator or an operator.",
        discussion: """
            IDENTITY is agent/SITE/NODE, coordinator/SITE/NAME (SITE is `fleet` for one that serves \
            every site) or operator/NAME.
            """)

    @Argument(help: ArgumentHelp("Whom it is for.", valueName: "identity")) var identity: String
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "dir")) var dir = "pki"
    @Option(help: ArgumentHelp("How long it is good.", valueName: "days")) var days = 365
    @Option(
        help: ArgumentHelp(
            "Where to write, without the endings .pem and .key; the directory's usual place "
                + "without this.", valueName: "path"))
    var out: String?

    func validate() throws {
        if !(1...36_500).contains(days) { throw ValidationError("--days is from 1 to 36500") }
    }

    static func identity(
        fleet: String, _ role: SpiffeIdentity.Role
    ) throws(CommandFailure) -> SpiffeIdentity {
        do {
            return try SpiffeIdentity(fleet: fleet, role: role)
        } catch {
            throw CommandFailure(.usage, error.message)
        }
    }

    func run() throws {
        do {
            let authority = try FleetAuthority(loadingFrom: dir)
            let parsed: SpiffeIdentity
            do {
                parsed = try SpiffeIdentity(uri: "spiffe://\(authority.fleet)/\(identity)")
            } catch {
                throw CommandFailure(
                    .usage, "\(identity): \(error.message)", hint: "such as agent/dublin/n001")
            }
            let path = out ?? defaultPath(parsed)
            try authority.issue(
                parsed, validity: validity(days: days), certificatePath: path + ".pem",
                keyPath: path + ".key")
            Terminal.write("\(parsed.uri)\n\(path).pem, \(path).key\n", to: 1)
        } catch let error as AuthorityError {
            throw CommandFailure(error)
        }
    }

    private func defaultPath(_ identity: SpiffeIdentity) -> String {
        switch identity.role {
        case .agent(_, let node): "\(dir)/agents/\(node)"
        case .coordinator(_, let name): "\(dir)/coordinators/\(name)"
        case .operator(let name): "\(dir)/operators/\(name)"
        }
    }
}

struct PKIShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show what a certificate says. Status 1 when it is not valid now.")

    @Argument(help: ArgumentHelp("The certificate, PEM.", valueName: "file")) var file: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        let summary: CertificateSummary
        do {
            summary = try CertificateSummary(path: file)
        } catch {
            throw CommandFailure(error)
        }
        let now = Int64(Date().timeIntervalSince1970)
        let isValid = summary.validity.start <= now && now <= summary.validity.end
        func instant(_ seconds: Int64) -> String {
            Format.instant(unixMilliseconds: UInt64(max(0, seconds)) * 1000)
        }
        if output.output == .json {
            output.output.write(
                .object([
                    ("subject", .string(summary.subject)), ("issuer", .string(summary.issuer)),
                    ("serial", .string(summary.serial)),
                    ("not_before", .string(instant(summary.validity.start))),
                    ("not_after", .string(instant(summary.validity.end))),
                    ("valid", .bool(isValid)), ("authority", .bool(summary.isAuthority)),
                    ("identity", (summary.identity?.uri).json),
                ]))
        } else {
            let speaks = summary.isAuthority ? "an authority" : summary.identity?.uri ?? "nobody"
            let lines = [
                "speaks for  \(speaks)", "subject     \(summary.subject)",
                "issuer      \(summary.issuer)", "serial      \(summary.serial)",
                "valid       \(instant(summary.validity.start)) to \(instant(summary.validity.end))",
            ]
            Terminal.write(
                lines.map(Terminal.printable).joined(separator: "\n") + "\n", to: 1)
        }
        if !isValid { throw CommandFailure(.negative, "\(file) is not valid now") }
    }
}
