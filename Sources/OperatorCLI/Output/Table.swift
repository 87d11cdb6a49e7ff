// SPDX-License-Identifier: Apache-2.0

/// Rows under headings, made to fit a width.
///
/// A table that is too wide shortens its flexible columns, the widest first, and drops the columns of
/// least importance; it never wraps. Numbers stand right, names left.
package struct Table: Sendable {
    /// How the cells of a column are set.
    package enum Alignment: Sendable {
        case left
        case right
    }

    /// What a column may lose to make a table fit.
    package enum Yield: Comparable, Sendable {
        /// Dropped when shortening does not suffice; among several the last one goes first.
        case droppable
        /// Shortened with an ellipsis, down to ``Table/minimumFlexibleWidth``.
        case flexible
        /// Kept whole.
        case fixed
    }

    /// One column.
    package struct Column: Sendable {
        package var heading: String
        package var alignment: Alignment
        package var yield: Yield
        /// Shown with `-o wide` only.
        package var isWideOnly: Bool

        package init(
            _ heading: String, _ alignment: Alignment = .left, yield: Yield = .fixed,
            isWideOnly: Bool = false
        ) {
            self.heading = heading
            self.alignment = alignment
            self.yield = yield
            self.isWideOnly = isWideOnly
        }
    }

    /// The fewest characters that a flexible column is shortened to before others are dropped.
    package static let readableFlexibleWidth = 20
    /// The fewest characters that a flexible column is shortened to at all.
    package static let minimumFlexibleWidth = 8
    private static let gap = "  "

    package var columns: [Column]
    /// Each row has one cell for each column, wide ones included.
    package private(set) var rows: [[String]] = []

    package init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row.
    ///
    /// - Precondition: one cell for each column.
    package mutating func append(_ cells: [String]) {
        precondition(cells.count == columns.count, "a row has one cell for each column")
        rows.append(cells.map(Terminal.printable))
    }

    /// The lines of the table, headings first, each at most `width` characters where that can be.
    ///
    /// A `width` of nil is no bound, and shows the columns of `-o wide` too.
    package func lines(width: Int?) -> [String] {
        var shown = columns.indices.filter { width == nil || !columns[$0].isWideOnly }
        var widths = columns.indices.map { column in
            rows.reduce(columns[column].heading.count) { max($0, $1[column].count) }
        }
        if let width { fit(&shown, &widths, into: width) }
        let heading = line(columns.map(\.heading), shown, widths)
        return [heading] + rows.map { line($0, shown, widths) }
    }

    /// The lines as one text with a final line break.
    package func text(width: Int?) -> String {
        lines(width: width).joined(separator: "\n") + "\n"
    }

    private func total(_ shown: [Int], _ widths: [Int]) -> Int {
        shown.reduce(0) { $0 + widths[$1] } + Table.gap.count * max(0, shown.count - 1)
    }

    /// Shortens flexible columns as far as they stay readable, then drops columns, then shortens on.
    private func fit(_ shown: inout [Int], _ widths: inout [Int], into width: Int) {
        shorten(shown, &widths, into: width, atLeast: Table.readableFlexibleWidth)
        while total(shown, widths) > width,
            let last = shown.lastIndex(where: { columns[$0].yield == .droppable })
        {
            shown.remove(at: last)
        }
        shorten(shown, &widths, into: width, atLeast: Table.minimumFlexibleWidth)
    }

    private func shorten(
        _ shown: [Int], _ widths: inout [Int], into width: Int, atLeast least: Int
    ) {
        while total(shown, widths) > width {
            let flexible = shown.filter {
                columns[$0].yield == .flexible
                    && widths[$0] > max(least, columns[$0].heading.count)
            }
            guard let widest = flexible.max(by: { widths[$0] < widths[$1] }) else { return }
            widths[widest] -= 1
        }
    }

    private func line(_ cells: [String], _ shown: [Int], _ widths: [Int]) -> String {
        var text = ""
        for (position, column) in shown.enumerated() {
            let cell = Table.shortened(cells[column], to: widths[column])
            let padding = String(repeating: " ", count: max(0, widths[column] - cell.count))
            if position > 0 { text += Table.gap }
            text += columns[column].alignment == .left ? cell + padding : padding + cell
        }
        while text.last == " " { text.removeLast() }
        return text
    }

    /// Takes out the middle: paths and numbered names differ at their ends.
    private static func shortened(_ cell: String, to width: Int) -> String {
        guard cell.count > width, width > 0 else { return cell }
        let end = (width - 1) * 2 / 3
        return cell.prefix(width - 1 - end) + "…" + cell.suffix(end)
    }
}
