// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

extension JobSpec {
    /// The job's demand for GPUs, in thousandths, over all tasks.
    var demandMilli: UInt64 {
        UInt64(taskCount) * UInt64(task.gpuCount) * UInt64(task.gpuMilli)
    }
}

/// What became of the jobs of one phase of a replay.
struct ReplayTally {
    var submitted = 0
    var placed = 0
    var refused = 0
    /// Accepted, and waiting.
    var pending = 0
    /// Requests that had to be sent more than once.
    var resent = 0
    var arrivedMilli: UInt64 = 0
    var placedMilli: UInt64 = 0

    /// The share of the arrived GPU demand that was placed; 1 when none arrived.
    var placedFraction: Double {
        arrivedMilli == 0 ? 1 : Double(placedMilli) / Double(arrivedMilli)
    }

    mutating func count(_ outcome: ReplayOutcome, _ spec: JobSpec) {
        submitted += 1
        arrivedMilli += spec.demandMilli
        if outcome.sendCount > 1 { resent += 1 }
        switch outcome.result {
        case .placed:
            placed += 1
            placedMilli += spec.demandMilli
        case .refused: refused += 1
        case .pending: pending += 1
        }
    }

    var members: [(String, JSONValue)] {
        [
            ("submitted", .integer(Int64(submitted))), ("placed", .integer(Int64(placed))),
            ("refused", .integer(Int64(refused))), ("pending", .integer(Int64(pending))),
            ("resent", .integer(Int64(resent))), ("gpu_milli_arrived", .counter(arrivedMilli)),
            ("gpu_milli_placed", .counter(placedMilli)),
            ("gpu_placed_fraction", .number(placedFraction)),
        ]
    }
}

/// What the fleet answered to one submit.
struct ReplayOutcome: Sendable {
    enum Result: Sendable {
        case placed(SubmitReply)
        case pending(JobID)
        /// `isNodeOut`: a node was left out for what it is and not for what it holds.
        case refused(isNodeOut: Bool)
    }

    /// Kinds of reasons that come and go without a job: the mirror of what is held knows nothing of them.
    private static let outKinds: Set<String> = ["silent", "commissioning", "cordoned", "draining"]

    var result: Result
    /// How often the request was sent until it was answered.
    var sendCount: Int

    /// Reads an answer; nil when it does not fit the question.
    init?(_ result: Swift.Result<OperatorClient.Answer, CommandFailure>) throws(CommandFailure) {
        switch result {
        case .success(let answer):
            guard case .submitted(let reply)? = answer.pages.last else { return nil }
            sendCount = answer.sendCount
            if reply.isPlaced {
                self.result = .placed(reply)
            } else if reply.job.rawValue == 0 {
                let reasons = reply.explanation?.reasons ?? []
                self.result = .refused(
                    isNodeOut: reasons.contains { ReplayOutcome.outKinds.contains($0.kind) })
            } else {
                self.result = .pending(reply.job)
            }
        case .failure(let failure):
            guard failure.status == .refused else { throw failure }
            sendCount = 1
            self.result = .refused(isNodeOut: false)
        }
    }
}
