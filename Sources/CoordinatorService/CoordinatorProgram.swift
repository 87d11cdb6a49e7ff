// SPDX-License-Identifier: Apache-2.0

internal import Dispatch
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix

/// The coordinator as a program of its own.
package enum CoordinatorProgram {
    /// Runs a coordinator until it is told to end by SIGTERM or SIGINT, or has to give up.
    ///
    /// - Parameter options: files and addresses.
    /// - Returns: the exit code: 0 after an orderly end, 1 when it cannot start or go on. The reason
    ///   is in the log.
    package static func run(_ options: CoordinatorOptions) async -> Int32 {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var log = Logger(label: "busbar-coordinator")
        log.logLevel = .info
        signal(SIGPIPE, SIG_IGN)
        // One loop: it owns all state, and every connection.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do throws(CoordinatorError) {
            let coordinator = try await Coordinator.open(options, on: group.next(), log: log)
            let sources = stopOnSignals(coordinator)
            defer { for source in sources { source.cancel() } }
            try await coordinator.serve()
            try await coordinator.run()
            return 0
        } catch {
            log.critical("cannot go on", metadata: ["reason": "\(error)"])
            return 1
        }
    }

    private static func stopOnSignals(
        _ coordinator: Coordinator
    ) -> [any DispatchSourceSignal] {
        [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { Task { await coordinator.stop() } }
            source.resume()
            return source
        }
    }
}
