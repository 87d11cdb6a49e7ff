// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Wire

/// A type that can make valid values of itself at random.
protocol RandomValue {
    static func random(_ source: inout SeededGenerator) -> Self
}

extension SeededGenerator {
    mutating func value<Value: RandomValue>(_ type: Value.Type = Value.self) -> Value {
        Value.random(&self)
    }

    mutating func values<Value: RandomValue>(
        upTo maximum: Int, _ type: Value.Type = Value.self
    ) -> [Value] {
        list(upTo: maximum) { Value.random(&$0) }
    }
}

extension RandomID: RandomValue {
    static func random(_ source: inout SeededGenerator) -> RandomID {
        RandomID(high: source.number(), low: source.number())
    }
}

extension LeaseOrder: RandomValue {
    static func random(_ source: inout SeededGenerator) -> LeaseOrder {
        LeaseOrder(epoch: source.number(), sequence: source.number())
    }
}

extension LeaseAck: RandomValue {
    static func random(_ source: inout SeededGenerator) -> LeaseAck {
        LeaseAck(
            order: source.value(), epochID: source.value(), cap: source.power(),
            fallbackVersion: source.number())
    }
}

extension LeaseRenewal: RandomValue {
    static func random(_ source: inout SeededGenerator) -> LeaseRenewal {
        LeaseRenewal(
            incarnation: source.value(), nonce: source.number(),
            ack: source.flag() ? source.value() : nil, fence: source.value(),
            fenceEpochID: source.value(), enforced: source.power(),
            provenEnforcerNanoseconds: source.flag() ? source.duration() : nil,
            violations: source.number())
    }
}

extension LeaseGrant: RandomValue {
    static func random(_ source: inout SeededGenerator) -> LeaseGrant {
        LeaseGrant(
            node: source.name(), incarnation: source.value(), nonce: source.number(),
            order: source.value(), epochID: source.value(), cap: source.power(),
            leaseNanoseconds: source.duration(), fallback: source.power(),
            fallbackVersion: source.number(), holdNanoseconds: source.duration())
    }
}

extension TelemetryReport: RandomValue {
    static func random(_ source: inout SeededGenerator) -> TelemetryReport {
        random(&source, gpuCount: Int.random(in: 0...maximumGPUCount, using: &source))
    }

    static func random(_ source: inout SeededGenerator, gpuCount: Int) -> TelemetryReport {
        var report = TelemetryReport(
            gpuCount: gpuCount, sequence: source.number(), sampledNanoseconds: source.number())
        let mask: UInt64 = gpuCount == 64 ? .max : (1 << UInt64(gpuCount)) - 1
        report.drawMilliwatts = source.column(gpuCount)
        report.drawValidity.bits = source.next() & mask
        report.requestedCapMilliwatts = source.column(gpuCount)
        report.requestedCapValidity.bits = source.next() & mask
        report.enforcedCapMilliwatts = source.column(gpuCount)
        report.enforcedCapValidity.bits = source.next() & mask
        report.temperatureMillidegrees = source.column(gpuCount)
        report.temperatureValidity.bits = source.next() & mask
        report.utilizationPPM = source.column(gpuCount)
        report.utilizationValidity.bits = source.next() & mask
        return report
    }
}

extension JobSpec: RandomValue {
    static func random(_ source: inout SeededGenerator) -> JobSpec {
        let gpuCount = source.number(UInt16.self, upTo: 64)
        let milli = gpuCount > 1 ? 1000 : UInt16.random(in: 1...1000, using: &source)
        var selector: [String: String] = [:]
        for _ in 0..<Int.random(in: 0...3, using: &source) {
            selector["k" + source.text()] = source.text()
        }
        return JobSpec(
            name: source.name(), priority: Int32(truncatingIfNeeded: source.next()),
            weight: max(1, source.number()), taskCount: max(1, source.number(upTo: 1 << 20)),
            task: TaskRequest(
                gpuCount: gpuCount, gpuMilli: milli, cpuMilli: source.number(),
                memoryMiB: source.number()),
            isSpread: source.flag(), models: source.list(upTo: 3) { $0.text() },
            sites: source.list(upTo: 3) { $0.name() }, selector: selector,
            requiredLevel: source.optionalText(),
            floor: source.flag() ? max(Milliwatts(1), source.power()) : nil,
            profile: source.pick(), durationNanoseconds: source.optionalDuration(),
            onLeaseEnd: source.pick(), preferredLevel: source.optionalText(),
            levelSpread: levelSpread(&source), isFullPace: source.flag(),
            preemption: source.pick(), reservation: source.optionalText())
    }

    private static func levelSpread(_ source: inout SeededGenerator) -> LevelSpread? {
        guard let level = source.optionalText() else { return nil }
        return LevelSpread(
            level: level, maximumTasks: source.flag() ? max(1, source.number()) : nil)
    }
}
