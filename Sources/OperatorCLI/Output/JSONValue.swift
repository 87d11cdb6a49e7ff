// SPDX-License-Identifier: Apache-2.0

/// A JSON document whose members keep the order in which they were written.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([(String, JSONValue)])

    /// A number that may be above `Int64.max`, such as a counter; written exactly.
    package static func counter(_ value: UInt64) -> JSONValue {
        Int64(exactly: value).map(JSONValue.integer) ?? .number(Double(value))
    }

    /// The document with two spaces of indentation, without a final line break.
    package var text: String {
        var text = ""
        write(to: &text, indentation: 0)
        return text
    }

    private func write(to text: inout String, indentation: Int) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        // JSON has no way to write infinities and NaN.
        case .number(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): JSONValue.write(value, to: &text)
        case .array(let values):
            JSONValue.write(
                values, brackets: ("[", "]"), to: &text, indentation: indentation
            ) { value, text in value.write(to: &text, indentation: indentation + 1) }
        case .object(let members):
            JSONValue.write(
                members, brackets: ("{", "}"), to: &text, indentation: indentation
            ) { member, text in
                JSONValue.write(member.0, to: &text)
                text += ": "
                member.1.write(to: &text, indentation: indentation + 1)
            }
        }
    }

    private static func write<Element>(
        _ elements: [Element], brackets: (String, String), to text: inout String,
        indentation: Int, element write: (Element, inout String) -> Void
    ) {
        guard !elements.isEmpty else {
            text += brackets.0 + brackets.1
            return
        }
        let outer = String(repeating: "  ", count: indentation)
        text += brackets.0
        for (position, element) in elements.enumerated() {
            text += (position == 0 ? "\n" : ",\n") + outer + "  "
            write(element, &text)
        }
        text += "\n" + outer + brackets.1
    }

    private static func write(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            // DEL and the C1 range are legal in JSON but not kind to a terminal.
            case let scalar where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue: Equatable {
    package static func == (left: JSONValue, right: JSONValue) -> Bool { left.text == right.text }
}
