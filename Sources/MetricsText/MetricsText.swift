// SPDX-License-Identifier: Apache-2.0

/// What a metric family means to Prometheus.
package enum MetricKind: String, Sendable {
    case counter
    case gauge
}

/// Builds one page of the Prometheus text exposition format, version 0.0.4.
///
/// Families are written in the order in which they are added; the samples of a family directly
/// behind its header, as the format demands.
///
/// Source: "Exposition formats", prometheus.io/docs/instrumenting/exposition_formats.
///
/// ```swift
/// var page = MetricsText()
/// page.family("busbar_domain_charge_watts", .gauge, "Watts that nodes may be enforcing.")
/// page.sample(labels: [("domain", "dublin/row1")], milliunits: 132_000_000)
/// ```
package struct MetricsText: Sendable {
    /// The `Content-Type` of a page.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private var bytes: [UInt8] = []
    private var familyName: [UInt8] = []

    /// An empty page, with room for `capacity` bytes.
    package init(reservingCapacity capacity: Int = 4096) {
        bytes.reserveCapacity(capacity)
    }

    /// The page so far, in UTF-8.
    package var utf8: [UInt8] { bytes }

    /// The page so far, as text.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Starts a family: every following sample belongs to it.
    ///
    /// - Precondition: `name` is a valid metric name and was not started before in this page; the
    ///   format has no way to write anything else.
    package mutating func family(_ name: StaticString, _ kind: MetricKind, _ help: String) {
        let name = "\(name)"
        precondition(Self.isMetricName(name), "'\(name)' is not a metric name")
        familyName = Array(name.utf8)
        append("# HELP \(name) ")
        appendEscaped(help, quotes: false)
        append("\n# TYPE \(name) \(kind.rawValue)\n")
    }

    /// Adds a sample with a whole value.
    package mutating func sample(labels: [(String, String)] = [], _ value: some BinaryInteger) {
        appendNameAndLabels(labels)
        append(" \(value)\n")
    }

    /// Adds a sample given in thousandths of the family's unit, written exactly: milliwatts of a
    /// family in watts, milliseconds of one in seconds.
    package mutating func sample(labels: [(String, String)] = [], milliunits: Int64) {
        appendNameAndLabels(labels)
        let magnitude = milliunits.magnitude
        let fraction = magnitude % 1000
        append(milliunits < 0 ? " -" : " ")
        append("\(magnitude / 1000)")
        if fraction != 0 {
            let digits = "\(1000 + fraction)".dropFirst()
            append(".\(digits)")
        }
        append("\n")
    }

    // MARK: - Writing

    private mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func appendNameAndLabels(_ labels: [(String, String)]) {
        precondition(!familyName.isEmpty, "a sample needs a family before it")
        bytes.append(contentsOf: familyName)
        guard !labels.isEmpty else { return }
        for (index, label) in labels.enumerated() {
            append(index == 0 ? "{" : ",")
            precondition(Self.isLabelName(label.0), "'\(label.0)' is not a label name")
            append(label.0)
            append("=\"")
            appendEscaped(label.1, quotes: true)
            append("\"")
        }
        append("}")
    }

    /// Backslash and line feed are escaped everywhere, the double quote in label values only.
    private mutating func appendEscaped(_ text: String, quotes: Bool) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\"") where quotes: append("\\\"")
            default: bytes.append(byte)
            }
        }
    }

    // MARK: - Names

    private static func isMetricName(_ name: String) -> Bool {
        isName(name) { $0 == UInt8(ascii: ":") }
    }

    private static func isLabelName(_ name: String) -> Bool {
        isName(name) { _ in false } && !name.hasPrefix("__")
    }

    private static func isName(_ name: String, allowing extra: (UInt8) -> Bool) -> Bool {
        guard let first = name.utf8.first, !(48...57).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || byte == UInt8(ascii: "_") || extra(byte)
        }
    }
}
