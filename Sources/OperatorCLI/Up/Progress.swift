// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// One line on stderr that says how far something is.
///
/// On a terminal the line is written over; elsewhere it is written again when it says something new
/// and at least two seconds have passed, or when a new phase begins.
final class ProgressLine: Sendable {
    private struct State {
        var phase = ""
        var text = ""
        var isShown = false
        var writtenAt: Int64 = 0
    }

    private let terminal: Terminal
    private let state = Mutex(State())

    init(terminal: Terminal = .current(descriptor: 2)) { self.terminal = terminal }

    /// Shows how far a phase is.
    ///
    /// - Parameters:
    ///   - phase: what is going on.
    ///   - fraction: how much of it is done, for the bar; nil for none.
    ///   - detail: in numbers.
    func show(_ phase: String, fraction: Double? = nil, detail: String = "") {
        let now = steadyNanoseconds()
        let bar = fraction.map { Format.bar(fraction: $0, width: 20) + " " } ?? ""
        let line = phase + (detail.isEmpty ? "" : ": " + detail)
        let isInteractive = terminal.isInteractive
        let output = state.withLock { state -> String? in
            let isNewPhase = state.phase != phase
            guard line != state.text else { return nil }
            let isDue = isNewPhase || now - state.writtenAt >= 2_000_000_000
            guard isInteractive ? isNewPhase || now - state.writtenAt > 80_000_000 : isDue else {
                return nil
            }
            state.phase = phase
            state.text = line
            state.writtenAt = now
            state.isShown = isInteractive
            return line
        }
        guard let output else { return }
        if isInteractive {
            let text = String((bar + output).prefix(max(1, terminal.columns - 1)))
            Terminal.write("\r\u{1b}[K" + text, to: 2)
        } else {
            Terminal.write(output + "\n", to: 2)
        }
    }

    /// Removes the line from a terminal, before something else is written.
    func clear() {
        let isShown = state.withLock { state in
            defer {
                state.isShown = false
                state.text = ""
            }
            return state.isShown
        }
        if isShown { Terminal.write("\r\u{1b}[K", to: 2) }
    }
}
