// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NIOCore
internal import Synchronization
internal import TLSEngine

/// Looks for new credentials when connections are made, though not for each of many.
///
/// Credentials that cannot be used change nothing: those in use stay, with an error in the log, and
/// the next look tries again.
final class CredentialsWatch: Sendable {
    private let context: TLSContext
    private let pause: TimeAmount
    private let logger: Logger
    private let nextLook = Mutex(NIODeadline.uptimeNanoseconds(0))

    /// Makes a watch; `pause` lies between two looks.
    init(_ context: TLSContext, every pause: TimeAmount, logger: Logger) {
        self.context = context
        self.pause = pause
        self.logger = logger
    }

    /// Looks, unless the last look was a moment ago.
    func connectionBegins() {
        let now = NIODeadline.now()
        let isDue = nextLook.withLock { next in
            guard now >= next else { return false }
            next = now + pause
            return true
        }
        guard isDue else { return }
        do {
            guard try context.reloadIfChanged() else { return }
            logger.info("credentials replaced", metadata: ["identity": "\(context.identity)"])
        } catch {
            logger.error("new credentials are not used", metadata: ["reason": "\(error)"])
        }
    }
}
