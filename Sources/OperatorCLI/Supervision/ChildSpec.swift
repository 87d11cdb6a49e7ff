// SPDX-License-Identifier: Apache-2.0

/// What a child process is for; children are stopped in this order.
package enum ChildKind: String, Sendable, CaseIterable, Comparable {
    case coordinator
    case agent
    case enforcer
    case hardware

    package static func < (left: ChildKind, right: ChildKind) -> Bool {
        order(left) < order(right)
    }

    private static func order(_ kind: ChildKind) -> Int {
        switch kind {
        case .coordinator: 0
        case .agent: 1
        case .enforcer: 2
        case .hardware: 3
        }
    }
}

/// How one child process is run.
package struct ChildSpec: Hashable, Sendable {
    /// Unique in a supervisor; also names its log file and its pid file.
    package var name: String
    package var kind: ChildKind
    package var executable: String
    package var arguments: [String]
    package var restart: RestartPolicy
    /// A child that was ready and is silent for so long is killed; nil never.
    package var watchdogNanoseconds: Int64?

    package init(
        name: String, kind: ChildKind, executable: String, arguments: [String],
        restart: RestartPolicy, watchdogNanoseconds: Int64?
    ) {
        self.name = name
        self.kind = kind
        self.executable = executable
        self.arguments = arguments
        self.restart = restart
        self.watchdogNanoseconds = watchdogNanoseconds
    }
}

/// How a child stands.
package struct ChildStatus: Hashable, Sendable {
    package var name: String
    package var kind: ChildKind
    /// Nil while it is down.
    package var processID: Int32?
    package var isReady: Bool
    package var starts: Int

    package init(name: String, kind: ChildKind, processID: Int32?, isReady: Bool, starts: Int) {
        self.name = name
        self.kind = kind
        self.processID = processID
        self.isReady = isReady
        self.starts = starts
    }
}

/// Something that happened to a child, for the log and for people.
package enum ChildEvent: Hashable, Sendable {
    case started(name: String, processID: Int32)
    case ready(name: String)
    case couldNotStart(name: String, reason: String)
    /// It was silent for longer than its watchdog allows, and was killed.
    case hung(name: String)
    /// It ended; `again` is the pause in nanoseconds before its next start, nil for none.
    case ended(name: String, how: String, again: Int64?)

    /// One line.
    package var text: String {
        switch self {
        case .started(let name, let processID): return "\(name): started as process \(processID)"
        case .ready(let name): return "\(name): ready"
        case .couldNotStart(let name, let reason): return "\(name): cannot start: \(reason)"
        case .hung(let name): return "\(name): hangs, killed"
        case .ended(let name, let how, let again):
            guard let again else { return "\(name): \(how)" }
            let pause = Format.duration(milliseconds: UInt64(max(0, again) / 1_000_000))
            return "\(name): \(how), " + (again == 0 ? "restarted" : "restart in \(pause)")
        }
    }
}
