// SPDX-License-Identifier: Apache-2.0

/// A dense index into one column family of a ``Topology``, typed by what it counts.
///
/// Indices are assigned once, in file order, and are stable for one topology; names cross the
/// boundary, indices stay inside.
package protocol DenseIndex: Hashable, Comparable, Sendable {
    /// The position in its column.
    var rawValue: UInt32 { get }
    /// Wraps a position.
    init(rawValue: UInt32)
}

extension DenseIndex {
    /// Wraps a position given as `Int`.
    ///
    /// - Precondition: `position` is in `0...UInt32.max`.
    @inlinable
    package init(_ position: Int) { self.init(rawValue: UInt32(position)) }

    /// The position as `Int`, for subscripts.
    @inlinable
    package var position: Int { Int(rawValue) }

    @inlinable
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A site of the fleet.
package struct SiteIndex: DenseIndex {
    package var rawValue: UInt32
    @inlinable
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A power domain of any tree.
package struct DomainIndex: DenseIndex {
    package var rawValue: UInt32
    @inlinable
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A node of the fleet.
package struct NodeIndex: DenseIndex {
    package var rawValue: UInt32
    @inlinable
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A GPU of the fleet: nodes in order, devices of a node in order.
package struct GPUIndex: DenseIndex {
    package var rawValue: UInt32
    @inlinable
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A GPU model of a topology.
package struct ModelIndex: DenseIndex {
    package var rawValue: UInt32
    @inlinable
    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A job's number, assigned by the fleet leader in order of acceptance and never used again.
///
/// People read and type it as `j42`.
package struct JobID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Reads `j42` or `42`; nil for anything else.
    package init?(text: some StringProtocol) {
        let digits = text.hasPrefix("j") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let value = UInt64(digits)
        else { return nil }
        rawValue = value
    }

    package static func < (left: JobID, right: JobID) -> Bool { left.rawValue < right.rawValue }
    package var description: String { "j\(rawValue)" }
}

/// The rule for names of fleets, sites, domains, nodes and jobs.
package enum Name {
    /// The longest name, in bytes.
    package static let maximumByteCount = 128

    /// Says what is wrong with a name, or nil when it is good.
    ///
    /// Good is 1 to 128 bytes of ASCII letters, digits, `-`, `_` and `.`, starting with a letter or a
    /// digit: such names are safe in URIs, file names, metrics labels and terminals alike.
    package static func problem(in name: some StringProtocol) -> String? {
        if name.isEmpty { return "is empty" }
        if name.utf8.count > maximumByteCount { return "is longer than \(maximumByteCount) bytes" }
        guard let first = name.utf8.first, isAlphanumeric(first) else {
            return "does not start with a letter or a digit"
        }
        for byte in name.utf8
        where !(isAlphanumeric(byte) || byte == 45 || byte == 46 || byte == 95) {
            return "has a character other than letters, digits, '-', '_' and '.'"
        }
        return nil
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }
}
