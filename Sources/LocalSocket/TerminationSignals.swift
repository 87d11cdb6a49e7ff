// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// SIGTERM and SIGINT as something to look at, not something that interrupts.
///
/// Make one on the first thread before any other thread starts: threads inherit the mask.
package struct TerminationSignals: Sendable {
    /// Blocks both signals for this thread and for those that it starts, and ignores SIGPIPE.
    package init() {
        var set = TerminationSignals.set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// True when one of the signals has come; takes it, so the next call says false.
    package func take() -> Bool {
        var set = TerminationSignals.set()
        var noTime = timespec(tv_sec: 0, tv_nsec: 0)
        return sigtimedwait(&set, nil, &noTime) > 0
    }

    /// Waits until one of the signals comes.
    package func wait() {
        var set = TerminationSignals.set()
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }
}
