// SPDX-License-Identifier: Apache-2.0

/// Why a frame or a message was refused, and where in it.
///
/// The sender is at fault: the receiver closes the connection, counts it and logs it once.
package struct WireError: Error, Hashable, Sendable {
    /// What is wrong with the bytes, or with a value in them.
    package enum Reason: Hashable, Sendable {
        /// The bytes are not a protobuf message of this type.
        case malformed
        /// Unpacking would take more memory than the connection may use.
        case arenaExhausted(limit: Int)
        /// The frame's length is above the limit of the protocol.
        case frameTooLong(length: Int, limit: Int)
        /// Fewer bytes than a frame header.
        case truncated
        /// A part that every such message has is not there.
        case missing
        /// More elements than a list may have.
        case tooMany(count: Int, limit: Int)
        /// A text or byte string is longer than it may be.
        case tooLong(byteCount: Int, limit: Int)
        /// A text is not UTF-8.
        case notUTF8
        /// A name breaks the rule for names; the string says how.
        case badName(String)
        /// An enumeration has no such value.
        case unknownValue(UInt32)
        /// A number is outside of what it may be.
        case outOfRange(value: UInt64, minimum: UInt64, maximum: UInt64)
        /// A column has another number of entries than its neighbours.
        case wrongCount(count: Int, expected: Int)
        /// A validity bitmap marks an entry that the column does not have.
        case bitBeyondColumn(bits: UInt64, count: Int)
        /// A value contradicts another one; the string says how.
        case inconsistent(String)
    }

    /// The message type, as the `.proto` file names it.
    package var message: String
    /// The field in it, or empty when the message as a whole is meant.
    package var field: String
    package var reason: Reason

    package init(message: String, field: String = "", reason: Reason) {
        self.message = message
        self.field = field
        self.reason = reason
    }
}

extension WireError: CustomStringConvertible {
    /// One line for a log: `AgentHello.node: name is empty`.
    package var description: String {
        let place = field.isEmpty ? message : message + "." + field
        return place + ": " + reason.description
    }
}

extension WireError.Reason {
    /// True when the bytes are a message and a value in it is refused, so that an answer is due.
    package var isAboutValue: Bool {
        switch self {
        case .malformed, .arenaExhausted, .frameTooLong, .truncated: false
        case .missing, .tooMany, .tooLong, .notUTF8, .badName, .unknownValue, .outOfRange,
            .wrongCount, .bitBeyondColumn, .inconsistent:
            true
        }
    }
}

extension WireError.Reason: CustomStringConvertible {
    /// The reason in words, without the place.
    package var description: String {
        switch self {
        case .malformed: "not a well-formed message"
        case .arenaExhausted(let limit): "needs more than \(limit) bytes to unpack"
        case .frameTooLong(let length, let limit):
            "frame of \(length) bytes, at most \(limit) allowed"
        case .truncated: "ends too early"
        case .missing: "missing"
        case .tooMany(let count, let limit): "\(count) elements, at most \(limit) allowed"
        case .tooLong(let count, let limit): "\(count) bytes, at most \(limit) allowed"
        case .notUTF8: "not UTF-8"
        case .badName(let problem): "name " + problem
        case .unknownValue(let value): "no such value: \(value)"
        case .outOfRange(let value, let minimum, let maximum):
            "\(value) is not in \(minimum)...\(maximum)"
        case .wrongCount(let count, let expected): "\(count) entries instead of \(expected)"
        case .bitBeyondColumn(let bits, let count):
            "bits \(String(bits, radix: 2)) mark entries beyond the \(count) that there are"
        case .inconsistent(let how): how
        }
    }
}
