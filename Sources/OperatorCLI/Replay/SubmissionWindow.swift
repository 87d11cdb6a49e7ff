// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

/// Sends many requests, a bounded number of them at once, and gives the answers in order.
struct SubmissionWindow {
    /// Requests that are open at once.
    static let size = 256
    /// How long one request may take, restarts of the coordinator included.
    static let deadline = Duration.seconds(120)

    typealias Answer = Result<OperatorClient.Answer, CommandFailure>

    let client: OperatorClient
    /// Requests a second; nil for as many as the fleet takes.
    let rate: Double?

    /// Sends all requests, in order.
    ///
    /// - Parameters:
    ///   - bodies: the requests.
    ///   - progress: told how many were answered.
    ///   - answered: takes the answers, in the order of the requests; what it throws ends the run.
    /// - Returns: the number of requests that were answered: all, unless the user interrupts.
    /// - Throws: what `answered` throws.
    func send(
        _ bodies: [OperatorRequest.Body], progress: (Int) -> Void,
        answered: (Int, Answer) throws(CommandFailure) -> Void
    ) async throws(CommandFailure) -> Int {
        let (answers, continuation) = AsyncStream.makeStream(of: (Int, Answer).self)
        let startedAt = steadyNanoseconds()
        var iterator = answers.makeAsyncIterator()
        var waiting: [Int: Answer] = [:]
        var (next, done) = (0, 0)
        while done < bodies.count {
            while next < bodies.count && next - done < SubmissionWindow.size
                && !Interruption.hasCome
            {
                await pace(next, startedAt)
                let index = next
                client.post(bodies[index], deadline: SubmissionWindow.deadline) { answer in
                    continuation.yield((index, answer))
                }
                next += 1
            }
            guard done < next else { break }
            // The stream ends never, and every request is answered or fails.
            guard let (index, answer) = await iterator.next() else { break }
            waiting[index] = answer
            while let answer = waiting.removeValue(forKey: done) {
                try answered(done, answer)
                done += 1
                progress(done)
            }
        }
        return done
    }

    private func pace(_ index: Int, _ startedAt: Int64) async {
        guard let rate else { return }
        let due = startedAt + Int64(Double(index) / rate * 1e9)
        let pause = (due - steadyNanoseconds()) / 1_000_000
        if pause > 0 { await UpSession.pause(milliseconds: pause) }
    }
}
