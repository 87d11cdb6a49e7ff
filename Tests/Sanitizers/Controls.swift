// SPDX-License-Identifier: Apache-2.0

// What the sanitizers must report, and what they must not: `Controls NAME` makes one thing happen.
// `Tests/Sanitizers/run` asks for each before it believes that the tests are clean.

import Glibc
import Synchronization

/// A value that nothing guards.
///
/// `@unchecked Sendable`: on purpose; the races below are the point.
final class Unguarded: @unchecked Sendable {
    var count = 0
}

/// A lock that two threads want at the same time.
final class Contended: Sendable {
    let lock = Mutex<[Int]>([])
    let isHeld = Atomic<Bool>(false)
}

final class Work: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs something in a thread of its own.
func start(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body))
    pthread_create(
        &thread, nil,
        { work in
            guard let work else { return nil }
            Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body()
            return nil
        }, work.toOpaque())
    return thread
}

/// Runs all in threads of their own, and waits for them.
func together(_ bodies: [@Sendable () -> Void]) {
    let threads = bodies.map { start($0) }
    for thread in threads { pthread_join(thread, nil) }
}

/// Two threads change a value under no lock.
func race() {
    let value = Unguarded()
    let change: @Sendable () -> Void = { for _ in 0..<1000 { value.count += 1 } }
    together([change, change])
    print(value.count)
}

/// Two threads change a value, each under a lock of its own.
func twoLocks() {
    let value = Unguarded()
    let locks = [Contended(), Contended()]
    together(
        locks.map { own in
            { for _ in 0..<1000 { own.lock.withLock { _ in value.count += 1 } } }
        })
    print(value.count)
}

/// Waits, bounded, for a number that other threads raise; orders nothing.
func wait(for count: Int, _ arrived: borrowing Atomic<Int>) {
    for _ in 0..<20_000 where arrived.load(ordering: .relaxed) < count { usleep(100) }
}

final class Arrivals: Sendable {
    let count = Atomic<Int>(0)
}

/// Two tasks change a value that no actor owns.
func tasks() async {
    let value = Unguarded()
    let arrivals = Arrivals()
    await withTaskGroup(of: Void.self) { group in
        for _ in 0..<2 {
            group.addTask {
                // Both run at once, so neither can be the other's past.
                arrivals.count.add(1, ordering: .relaxed)
                wait(for: 2, arrivals.count)
                for _ in 0..<1000 { value.count += 1 }
            }
        }
    }
    print(value.count)
}

/// A continuation that another thread resumes, with what it has made, before the task waits for it.
func early() async {
    let arrivals = Arrivals()
    let made = await withUnsafeContinuation {
        (continuation: UnsafeContinuation<Unguarded, Never>) in
        // Not joined: a join would be an order of its own.
        let thread = start {
            let value = Unguarded()
            value.count = 7
            continuation.resume(returning: value)
            arrivals.count.add(1, ordering: .relaxed)
        }
        wait(for: 1, arrivals.count)
        pthread_detach(thread)
    }
    made.count += 1
    print(made.count)
}

/// One lock, which the second thread finds held: correct, though the kernel hands it over.
func contention() {
    let shared = Contended()
    together([
        {
            shared.lock.withLock { values in
                shared.isHeld.store(true, ordering: .relaxed)
                // Time for the other thread to sleep in the kernel, which nothing here can see.
                usleep(300_000)
                values.append(1)
            }
        },
        {
            while !shared.isHeld.load(ordering: .relaxed) { sched_yield() }
            shared.lock.withLock { $0.append(2) }
        },
    ])
    print(shared.lock.withLock { $0.count })
}

/// One lock that many threads want all the time: it changes hands in the spin loop of its slow path.
func spinning() {
    let shared = Contended()
    let change: @Sendable () -> Void = {
        for number in 0..<20_000 {
            shared.lock.withLock { values in
                if values.count > 16 { values.removeAll(keepingCapacity: true) }
                values.append(number)
            }
        }
    }
    together([change, change, change, change])
    print(shared.lock.withLock { $0.count })
}

/// Writes behind the end of a block.
func overflow() {
    let block = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
    block[Int(getpid() > 0 ? 16 : 0)] = 1
    block.deallocate()
}

/// Loses blocks of C memory.
func leak() {
    // In a thread that ends, so that no stack still holds an address.
    together([{ for _ in 0..<64 { memset(malloc(100), 1, 100) } }])
}

/// Keeps strings and arrays to the end, as every program does.
func kept() {
    Kept.texts = (0..<64).map { "a text that is too long to be kept in place, number \($0)" }
    print(Kept.texts.count)
}

enum Kept {
    // `nonisolated(unsafe)`: only the main thread runs here.
    nonisolated(unsafe) static var texts: [String] = []
}

@main
struct Controls {
    static func main() async {
        switch CommandLine.arguments.last {
        case "race": race()
        case "two-locks": twoLocks()
        case "tasks": await tasks()
        case "early": await early()
        case "contention": contention()
        case "spinning": spinning()
        case "overflow": overflow()
        case "leak": leak()
        case "kept": kept()
        default: exit(2)
        }
    }
}
