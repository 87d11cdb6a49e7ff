// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension TelemetryReport: Mapped {
    static var messageName: String { "TelemetryReport" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TelemetryReport>) {
        busbar__v1__telemetry_report__init(message)
    }

    static func read(
        _ message: Busbar__V1__TelemetryReport
    ) throws(WireError) -> TelemetryReport {
        var report = TelemetryReport(gpuCount: 0)
        try report.update(from: message)
        return report
    }

    /// Takes the values of a C message in; keeps the memory of the columns.
    mutating func update(from message: Busbar__V1__TelemetryReport) throws(WireError) {
        let fields = Self.fields
        let count = message.n_draw_mw
        try fields.checkCount(count, "draw_mw", limit: TelemetryReport.maximumGPUCount)
        sequence = message.sequence
        sampledNanoseconds = message.sampled_ns
        try fields.column(
            "draw_mw", count, message.n_draw_mw, message.draw_mw, message.draw_valid,
            into: &drawMilliwatts, &drawValidity)
        try fields.column(
            "requested_cap_mw", count, message.n_requested_cap_mw, message.requested_cap_mw,
            message.requested_cap_valid, into: &requestedCapMilliwatts, &requestedCapValidity)
        try fields.column(
            "enforced_cap_mw", count, message.n_enforced_cap_mw, message.enforced_cap_mw,
            message.enforced_cap_valid, into: &enforcedCapMilliwatts, &enforcedCapValidity)
        try fields.column(
            "temperature_mc", count, message.n_temperature_mc, message.temperature_mc,
            message.temperature_valid, into: &temperatureMillidegrees, &temperatureValidity)
        try fields.column(
            "utilization_ppm", count, message.n_utilization_ppm, message.utilization_ppm,
            message.utilization_valid, into: &utilizationPPM, &utilizationValidity)
    }

    func write(to message: inout Busbar__V1__TelemetryReport, _ builder: Builder) {
        message.sequence = sequence
        message.sampled_ns = sampledNanoseconds
        message.n_draw_mw = drawMilliwatts.count
        message.draw_mw = builder.column(drawMilliwatts)
        message.draw_valid = drawValidity.bits
        message.n_requested_cap_mw = requestedCapMilliwatts.count
        message.requested_cap_mw = builder.column(requestedCapMilliwatts)
        message.requested_cap_valid = requestedCapValidity.bits
        message.n_enforced_cap_mw = enforcedCapMilliwatts.count
        message.enforced_cap_mw = builder.column(enforcedCapMilliwatts)
        message.enforced_cap_valid = enforcedCapValidity.bits
        message.n_temperature_mc = temperatureMillidegrees.count
        message.temperature_mc = builder.column(temperatureMillidegrees)
        message.temperature_valid = temperatureValidity.bits
        message.n_utilization_ppm = utilizationPPM.count
        message.utilization_ppm = builder.column(utilizationPPM)
        message.utilization_valid = utilizationValidity.bits
    }
}

extension FieldReader {
    /// Copies a column and its bitmap into arrays that keep their memory.
    fileprivate func column(
        _ field: String, _ expected: Int, _ count: Int, _ pointer: UnsafeMutablePointer<UInt32>?,
        _ bits: UInt64, into values: inout [UInt32], _ validity: inout ValidityBitmap
    ) throws(WireError) {
        guard count == expected else {
            throw error(field, .wrongCount(count: count, expected: expected))
        }
        guard count == 64 || bits >> UInt64(count) == 0 else {
            throw error(field, .bitBeyondColumn(bits: bits, count: count))
        }
        values.removeAll(keepingCapacity: true)
        values.append(contentsOf: UnsafeBufferPointer(start: pointer, count: count))
        validity = ValidityBitmap(bits: bits)
    }
}
