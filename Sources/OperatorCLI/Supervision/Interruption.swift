// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// How often this process was asked to end.
private let interruptionCount = Atomic<Int>(0)

/// Ctrl-C, SIGTERM and SIGHUP as something to look at, not something that ends the process.
enum Interruption {
    /// From now on the signals are counted.
    static func watch() {
        // The handler must find the counter made: making it there would not be safe.
        interruptionCount.store(0, ordering: .relaxed)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in _ = interruptionCount.add(1, ordering: .relaxed) }
        }
    }

    /// Whether the process was asked to end since ``watch()``.
    static var hasCome: Bool { interruptionCount.load(ordering: .relaxed) > 0 }
}
