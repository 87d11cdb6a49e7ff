// SPDX-License-Identifier: Apache-2.0

internal import CProcess
internal import Foundation
internal import Glibc
internal import Synchronization

/// Keeps the processes of a fleet running: starts them, restarts those that die or hang.
///
/// One thread owns every child from fork to wait. It must be a thread that ends only with the
/// process, because the kernel kills a child when the *thread* that started it ends: that is how no
/// child outlives `busbar up`, even when that is killed with SIGKILL.
package final class Supervisor: Sendable {
    /// What callers ask of the supervisor's thread.
    private enum Order {
        case start(ChildSpec)
        case stop(graceNanoseconds: Int64)
    }

    private struct Shared {
        var orders: [Order] = []
        var statuses: [ChildStatus] = []
        var isStopped = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// Where pid files, logs and the notify socket are.
    package struct Places: Hashable, Sendable {
        package var runDirectory: String
        package var logDirectory: String

        package init(runDirectory: String, logDirectory: String) {
            self.runDirectory = runDirectory
            self.logDirectory = logDirectory
        }
    }

    private let shared = Mutex(Shared())
    private let wake: Int32

    /// Starts the supervisor's thread, without any child.
    ///
    /// - Parameters:
    ///   - places: where sockets, pid files and logs go.
    ///   - onEvent: called on the supervisor's thread; must not block.
    /// - Throws: `CommandFailure` when the notify socket cannot be opened.
    package init(
        places: Places, onEvent: @escaping @Sendable (ChildEvent) -> Void
    ) throws(CommandFailure) {
        wake = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard wake >= 0 else {
            throw CommandFailure(
                .unavailable, "cannot make an event descriptor: \(systemError(errno))")
        }
        let socket = try NotifySocket(path: places.runDirectory + "/notify.sock")
        let loop = SupervisorLoop(
            places: places, socket: socket, wake: wake, onEvent: onEvent)
        startThread(loop)
    }

    // The thread holds this object until all children are gone.
    deinit { close(wake) }

    /// Adds a child and starts it.
    package func start(_ spec: ChildSpec) { post(.start(spec)) }

    /// How all children stand now.
    package var statuses: [ChildStatus] { shared.withLock { $0.statuses } }

    /// Ends all children, kind by kind, and returns when none is left.
    ///
    /// Each kind has `graceMilliseconds` from SIGTERM to SIGKILL. Idempotent.
    package func stop(graceMilliseconds: Int64 = 3000) async {
        post(.stop(graceNanoseconds: graceMilliseconds * 1_000_000))
        await withCheckedContinuation { continuation in
            let isStopped = shared.withLock { shared in
                if !shared.isStopped { shared.waiters.append(continuation) }
                return shared.isStopped
            }
            if isStopped { continuation.resume() }
        }
    }

    private func post(_ order: Order) {
        shared.withLock { $0.orders.append(order) }
        var one: UInt64 = 1
        // Fails only when the counter is full, and then the thread wakes anyway.
        _ = Glibc.write(wake, &one, 8)
    }

    private func startThread(_ loop: SupervisorLoop) {
        Thread.detachNewThread { [self] in
            var loop = loop
            while !loop.isDone {
                loop.startDue()
                publish(loop.table.statuses, isStopped: false)
                loop.waitAndAct()
                for order in shared.withLock({ take(&$0.orders) }) {
                    switch order {
                    case .start(let spec): loop.add(spec)
                    case .stop(let grace): loop.stop(graceNanoseconds: grace)
                    }
                }
            }
            loop.finish()
            publish(loop.table.statuses, isStopped: true)
        }
    }

    private func take(_ orders: inout [Order]) -> [Order] {
        defer { orders = [] }
        return orders
    }

    private func publish(_ statuses: [ChildStatus], isStopped: Bool) {
        let waiters = shared.withLock { shared in
            shared.statuses = statuses
            guard isStopped else { return [CheckedContinuation<Void, Never>]() }
            shared.isStopped = true
            defer { shared.waiters = [] }
            return shared.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
