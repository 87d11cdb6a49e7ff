// SPDX-License-Identifier: Apache-2.0

internal import CProcess
internal import Glibc

/// What is known of the terminal that a command writes to.
package struct Terminal: Hashable, Sendable {
    /// Columns to fit into.
    package var columns: Int
    package var isInteractive: Bool
    /// False with `NO_COLOR`, with `TERM=dumb` and where output is not a terminal.
    package var hasColor: Bool

    package init(columns: Int, isInteractive: Bool, hasColor: Bool) {
        self.columns = columns
        self.isInteractive = isInteractive
        self.hasColor = hasColor
    }

    /// The width of a terminal that does not say how wide it is.
    package static let defaultColumns = 80
    /// The width of output that is not a terminal: a pipe or a file gets whole cells.
    package static let unboundedColumns = 1_000_000

    /// The terminal behind a file descriptor (1 for stdout, 2 for stderr) as it is now.
    package static func current(descriptor: Int32) -> Terminal {
        let isInteractive = isatty(descriptor) == 1
        let columns = Int(CProcess_terminalColumns(descriptor))
        let noColor = environment("NO_COLOR").map { !$0.isEmpty } ?? false
        let terminalColumns = columns > 0 ? columns : defaultColumns
        return Terminal(
            columns: isInteractive ? terminalColumns : unboundedColumns,
            isInteractive: isInteractive,
            hasColor: isInteractive && !noColor && environment("TERM") != "dumb")
    }

    /// The value of an environment variable, if it is set.
    package static func environment(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        return String(cString: value)
    }

    /// A text from elsewhere without the control characters that could drive the terminal.
    package static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            result.append(isControl ? " " : scalar)
        }
        return String(result)
    }

    /// Writes a whole text to a descriptor; false when the other end is gone.
    @discardableResult
    package static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}
