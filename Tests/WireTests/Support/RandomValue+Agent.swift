// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Wire

extension TaskAttempt: RandomValue {
    static func random(_ source: inout SeededGenerator) -> TaskAttempt {
        TaskAttempt(
            job: JobID(source.number()), taskIndex: source.number(), attempt: source.number())
    }
}

extension TaskStatus: RandomValue {
    static func random(_ source: inout SeededGenerator) -> TaskStatus {
        TaskStatus(task: source.value(), state: source.pick(), message: source.text())
    }
}

extension TaskStart: RandomValue {
    static func random(_ source: inout SeededGenerator) -> TaskStart {
        TaskStart(
            task: source.value(), jobName: source.name(), devices: devices(&source),
            gpuMilli: source.number(upTo: 1000), profile: source.pick(),
            durationNanoseconds: source.optionalDuration(), onLeaseEnd: source.pick())
    }

    /// Positions below 64, none twice.
    static func devices(_ source: inout SeededGenerator) -> [UInt16] {
        let count = Int.random(in: 0...64, using: &source)
        return Array((0..<UInt16(64)).shuffled(using: &source).prefix(count))
    }
}

extension DeviceInventory: RandomValue {
    static func random(_ source: inout SeededGenerator) -> DeviceInventory {
        DeviceInventory(
            uuid: source.name(), model: source.name(), minimumCap: source.power(),
            maximumCap: source.power())
    }
}

extension PowerPlan: RandomValue {
    static func random(_ source: inout SeededGenerator) -> PowerPlan {
        let count = Int.random(in: 0...64, using: &source)
        return PowerPlan(
            revision: source.number(), floorMilliwatts: source.column(count),
            fullMilliwatts: source.column(count), ceilingMilliwatts: source.column(count),
            priority: (0..<count).map { _ in Int32(truncatingIfNeeded: source.next()) },
            weight: (0..<count).map { _ in max(1, source.number()) }, gang: source.column(count))
    }
}

extension SignedGrant: RandomValue {
    static func random(_ source: inout SeededGenerator) -> SignedGrant {
        SignedGrant(
            payload: source.value(LeaseGrant.self).encoded(), signature: source.bytes(upTo: 72))
    }
}

extension AgentMessage: RandomValue {
    static func random(_ source: inout SeededGenerator) -> AgentMessage {
        random(&source, kind: Int.random(in: 0..<kindCount, using: &source))
    }

    static let kindCount = 12

    static func random(_ source: inout SeededGenerator, kind: Int) -> AgentMessage {
        switch kind {
        case 0:
            .hello(
                AgentHello(
                    protocolVersion: source.number(), softwareVersion: source.name(),
                    node: source.name(), bootID: source.bytes(upTo: 64),
                    devices: source.values(upTo: 64), tasks: source.values(upTo: 20)))
        case 1: .report(source.value())
        case 2: .renewal(source.value())
        case 3: .taskStatus(source.value())
        case 4: .goodbye(reason: source.text())
        case 5:
            .welcome(
                AgentWelcome(
                    protocolVersion: source.number(), reportIntervalMilliseconds: source.number(),
                    signerChain: source.list(upTo: 8) { $0.bytes(upTo: 600) }))
        case 6: .grant(source.value())
        case 7: .powerPlan(source.value())
        case 8: .taskStart(source.value())
        case 9: .taskStop(source.value())
        case 10: .refusal(SessionRefusal(code: source.pick(), message: source.text()))
        default: .unknown
        }
    }
}

extension EnforcerMessage: RandomValue {
    static func random(_ source: inout SeededGenerator) -> EnforcerMessage {
        let count = Int.random(in: 0...64, using: &source)
        let body: Body =
            switch Int.random(in: 0..<8, using: &source) {
            case 0: .renewalRequest
            case 1:
                .grantDelivery(
                    GrantDelivery(
                        grant: source.value(),
                        signerChain: source.list(upTo: 8) { $0.bytes(upTo: 600) }))
            case 2: .shareRequest(capMilliwatts: source.column(count))
            case 3: .renewal(source.value())
            case 4: .grantVerdict(GrantVerdict(outcome: source.pick(), order: source.value()))
            case 5:
                .status(
                    EnforcerStatus(
                        isAtFallback: source.flag(), cap: source.power(), order: source.value(),
                        remainingNanoseconds: source.duration(),
                        requestedCapMilliwatts: source.column(count),
                        enforcedCapMilliwatts: source.column(count),
                        leaseExpiries: source.number(), violations: source.number()))
            case 6: .refusal(source.text())
            default: .unknown
            }
        return EnforcerMessage(node: source.name(), body: body)
    }
}

extension HardwareRequest: RandomValue {
    static func random(_ source: inout SeededGenerator) -> HardwareRequest {
        let device = source.number(UInt16.self, upTo: 63)
        let body: Body =
            switch Int.random(in: 0..<9, using: &source) {
            case 0: .readInventory
            case 1: .readCaps
            case 2: .writeCap(device: device, capMilliwatts: source.number())
            case 3: .readSensors
            case 4:
                .setDemand(
                    device: device,
                    DeviceDemand(
                        profile: source.flag() ? source.pick() : nil,
                        utilizationPPM: source.number(upTo: 1_000_000),
                        phaseSeed: source.number()))
            case 5: .resetDriver
            case 6: .readSummary
            case 7: .resetSummary
            default: .unknown
            }
        return HardwareRequest(
            id: source.number(), node: source.flag() ? source.name() : "", body: body)
    }
}

extension HardwareReply: RandomValue {
    static func random(_ source: inout SeededGenerator) -> HardwareReply {
        HardwareReply(id: source.number(), body: body(&source))
    }

    private static func body(_ source: inout SeededGenerator) -> Body {
        let count = Int.random(in: 0...64, using: &source)
        switch Int.random(in: 0..<6, using: &source) {
        case 0: return .done
        case 1:
            return .inventory(
                HardwareInventory(
                    devices: source.values(upTo: 64), bootID: source.bytes(upTo: 64),
                    settleNanoseconds: source.duration()))
        case 2:
            return .caps(
                HardwareCaps(
                    requestedMilliwatts: source.column(count),
                    enforcedMilliwatts: source.column(count)))
        case 3:
            return .sensors(
                HardwareSensors(
                    drawMilliwatts: source.column(count),
                    temperatureMillidegrees: source.column(count),
                    utilizationPPM: source.column(count),
                    requestedMilliwatts: source.column(count),
                    enforcedMilliwatts: source.column(count)))
        case 4:
            return .summary(
                HardwareSummary(
                    capChanges: source.number(), overBudgetInstants: source.number(),
                    domainEnforced: source.powers(count), domainPeakEnforced: source.powers(count),
                    domainOverBudgetInstants: (0..<count).map { _ in source.number() },
                    domainDraw: source.powers(count),
                    domainArmed: (0..<count).map { _ in source.flag() },
                    firstViolations: source.list(upTo: 8) { $0.text() }))
        default: return .failed("x" + source.text())
        }
    }
}
