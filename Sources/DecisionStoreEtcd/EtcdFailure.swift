// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import GRPCCore

/// Why a call to etcd brought no result.
enum EtcdFailure: Error, Hashable, Sendable {
    /// Nothing was changed; worth another try, perhaps with another member.
    case notApplied(String)
    /// Nothing was changed, and trying again would bring the same.
    case refused(RPCError.Code, String)
    /// A write may have been applied, or may still be.
    case unknown(String)
    /// The answer was larger than the transport takes; a write may have been applied.
    case tooLarge(String)

    /// Judges an error of gRPC by etcd's codes and texts.
    ///
    /// What is not known to mean "not applied" counts as unknown.
    init(_ error: any Error) {
        guard let error = error as? RPCError else {
            if let malformed = error as? EtcdMalformed {
                self = .unknown("etcd sent no \(malformed.message)")
            } else if error is RuntimeError {
                // The client was shut down before the call was made.
                self = .notApplied("\(error)")
            } else {
                self = .unknown("\(error)")
            }
            return
        }
        switch error.code {
        case .internalError where error.message.contains("maximum payload size"):
            self = .tooLarge(error.message)
        case .unavailable where Self.isBeforeSending(error.message),
            .resourceExhausted where error.message.contains("too many requests"):
            self = .notApplied(error.message)
        case .resourceExhausted, .invalidArgument, .notFound, .failedPrecondition, .outOfRange,
            .permissionDenied, .unauthenticated, .unimplemented, .dataLoss:
            self = .refused(error.code, error.message)
        default:
            self = .unknown("\(error.code): \(error.message)")
        }
    }

    /// True for the texts of a call that never reached the log of the cluster.
    private static func isBeforeSending(_ message: String) -> Bool {
        // The transport's own word for "no connection"; then etcd's gate in front of its services.
        message.contains("hannel isn't ready") || message == "etcdserver: no leader"
            || message == "etcdserver: not capable"
            || message == "etcdserver: rpc not supported for learner"
    }

    /// True for a quota that was reached.
    var isNoSpace: Bool {
        if case .refused(.resourceExhausted, let text) = self {
            return text.contains("database space exceeded")
        }
        return false
    }

    /// True for a revision that has been forgotten.
    var isCompacted: Bool {
        if case .refused(.outOfRange, let text) = self { return text.contains("compacted") }
        return false
    }

    /// True for a revision that a member has not reached yet.
    var isFuture: Bool {
        if case .refused(.outOfRange, let text) = self { return text.contains("future revision") }
        return false
    }

    /// The reason, for people.
    var reason: String {
        switch self {
        case .notApplied(let text), .unknown(let text), .tooLarge(let text): text
        case .refused(_, let text): text
        }
    }

    /// The error of a call that reads.
    var asReadError: StoreError {
        switch self {
        case .refused(let code, let text)
        where code == .dataLoss || code == .permissionDenied || code == .unauthenticated:
            .failed("etcd refuses: \(text)")
        default: .unavailable("etcd: \(reason)")
        }
    }

    /// The error of a call that writes.
    var asWriteError: StoreError {
        switch self {
        case .unknown(let text), .tooLarge(let text): return .ambiguous("etcd: \(text)")
        case .notApplied, .refused: break
        }
        if isNoSpace {
            return .unavailable(
                "etcd's database has reached its quota: compact, defragment, disarm the alarm")
        }
        return asReadError
    }
}
