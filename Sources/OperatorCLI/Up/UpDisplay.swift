// SPDX-License-Identifier: Apache-2.0

internal import Wire

/// The table of a running fleet: refreshed in place on a terminal, a line now and then elsewhere.
struct UpDisplay {
    /// How often a line is written where there is no terminal.
    static let plainIntervalNanoseconds: Int64 = 5_000_000_000

    private let terminal: Terminal
    /// Where it is written: stderr while stdout is kept for JSON.
    private let descriptor: Int32
    private var shownLines = 0
    private var plainAt: Int64 = 0

    init(isJSON: Bool) {
        descriptor = isJSON ? 2 : 1
        terminal = Terminal.current(descriptor: descriptor)
    }

    /// Whether the next ``show(_:_:note:now:)`` would write something.
    func isDue(now: Int64) -> Bool { terminal.isInteractive || now >= plainAt }

    /// Shows how the fleet stands.
    ///
    /// - Parameters:
    ///   - status: what the coordinator says; nil while it does not answer.
    ///   - hardware: what the hardware says.
    ///   - note: the last thing that happened to a process.
    ///   - now: the steady clock.
    mutating func show(
        _ status: FleetStatus?, _ hardware: HardwareSummary?, note: String?, now: Int64
    ) {
        var lines: [String] = []
        if let status {
            lines = status.lines(width: terminal.columns)
        } else {
            lines = ["the coordinator does not answer"]
        }
        let audit = hardware.map {
            "hardware: \($0.overBudgetInstants) instants over budget in \($0.capChanges) cap changes"
        }
        lines.append(audit ?? "hardware: does not answer")
        if terminal.isInteractive {
            if let note { lines.append(note) }
            lines.append("Ctrl-C stops the fleet; `busbar status` and the like work beside it")
            refresh(lines)
        } else if now >= plainAt {
            plainAt = now + UpDisplay.plainIntervalNanoseconds
            let line = (status?.summaryLine ?? lines[0]) + "; " + (audit ?? "no hardware")
            Terminal.write(Terminal.printable(line) + "\n", to: descriptor)
        }
    }

    /// Leaves what is shown where it is, and goes on below it.
    mutating func finish() { shownLines = 0 }

    private mutating func refresh(_ lines: [String]) {
        // Cut, since a line that wraps would spoil the count of lines to go back.
        let cut = lines.map { Terminal.printable(String($0.prefix(max(1, terminal.columns - 1)))) }
        let back = shownLines > 0 ? "\u{1b}[\(shownLines)A\r\u{1b}[J" : ""
        Terminal.write(back + cut.joined(separator: "\n") + "\n", to: descriptor)
        shownLines = cut.count
    }
}
