// SPDX-License-Identifier: Apache-2.0

/// The bookkeeping of a supervisor.
///
/// Which child runs, since when, when it last spoke, when it is to be started again. Pure:
/// ``Supervisor`` carries out what it says.
struct ChildTable {
    /// One child.
    struct Entry {
        var spec: ChildSpec
        var clock: RestartClock
        var processID: Int32?
        var isReady = false
        var starts = 0
        var startedAt: Int64 = 0
        var spokeAt: Int64 = 0
        /// When to start it, while it is down; nil for never again.
        var dueAt: Int64?
        /// It was killed by the watchdog and its end has not been seen yet.
        var isBeingKilled = false
    }

    private(set) var entries: [Entry] = []
    /// No child is started any more.
    private(set) var isStopping = false

    /// Adds a child that is to be started at once.
    mutating func add(_ spec: ChildSpec, now: Int64) {
        precondition(!entries.contains { $0.spec.name == spec.name }, "two children \(spec.name)")
        var entry = Entry(spec: spec, clock: RestartClock(spec.restart))
        entry.dueAt = now
        entries.append(entry)
    }

    /// From now on children only end.
    mutating func beginStopping() {
        isStopping = true
        for index in entries.indices { entries[index].dueAt = nil }
    }

    /// The children whose time to be started has come.
    func due(now: Int64) -> [Int] {
        entries.indices.filter { index in
            guard entries[index].processID == nil, let dueAt = entries[index].dueAt else {
                return false
            }
            return dueAt <= now
        }
    }

    /// The children that have been silent for longer than they may.
    func hung(now: Int64) -> [Int] {
        entries.indices.filter { watchdogAt($0).map { $0 <= now } ?? false }
    }

    /// When the next child is due or the next watchdog runs out.
    func nextInstant() -> Int64? {
        entries.indices.compactMap { index in
            entries[index].processID == nil ? entries[index].dueAt : watchdogAt(index)
        }.min()
    }

    private func watchdogAt(_ index: Int) -> Int64? {
        let entry = entries[index]
        guard entry.processID != nil, entry.isReady, !entry.isBeingKilled, !isStopping,
            let limit = entry.spec.watchdogNanoseconds
        else { return nil }
        return entry.spokeAt + limit
    }

    /// A child runs.
    mutating func started(_ index: Int, processID: Int32, now: Int64) {
        entries[index].processID = processID
        entries[index].isReady = false
        entries[index].isBeingKilled = false
        entries[index].starts += 1
        entries[index].startedAt = now
        entries[index].spokeAt = now
        entries[index].dueAt = nil
    }

    /// The watchdog has killed a child.
    mutating func killed(_ index: Int) { entries[index].isBeingKilled = true }

    /// A child spoke; true when it just became ready.
    mutating func heard(from processID: Int32, isReady: Bool, now: Int64) -> Int? {
        guard let index = entries.firstIndex(where: { $0.processID == processID }) else {
            return nil
        }
        entries[index].spokeAt = now
        guard isReady, !entries[index].isReady else { return nil }
        entries[index].isReady = true
        return index
    }

    /// A child ended, or could not be started; the pause before its next start.
    mutating func ended(_ index: Int, now: Int64) -> Int64? {
        let ran = entries[index].processID == nil ? 0 : now - entries[index].startedAt
        let pause = entries[index].clock.ended(
            ranNanoseconds: ran, wasReady: entries[index].isReady)
        entries[index].processID = nil
        entries[index].isReady = false
        entries[index].dueAt = isStopping ? nil : pause.map { now + $0 }
        return isStopping ? nil : pause
    }

    /// How all children stand.
    var statuses: [ChildStatus] {
        entries.map {
            ChildStatus(
                name: $0.spec.name, kind: $0.spec.kind, processID: $0.processID,
                isReady: $0.isReady, starts: $0.starts)
        }
    }
}
