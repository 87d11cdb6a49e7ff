// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel

/// The bytes of a ``LeaseRecord`` in a file: a mark, thirteen 64-bit numbers, a checksum; all
/// little-endian.
///
/// Whatever cannot be read back whole is no record, and an enforcer without a record falls back: a
/// damaged file lowers caps and never raises one.
enum RecordCodec {
    private static let mark: [UInt8] = Array("BBLEASE1".utf8)
    private static let fieldCount = 13

    /// Writes a record.
    static func encode(_ record: LeaseRecord) -> [UInt8] {
        let fields: [UInt64] = [
            record.bootID.high, record.bootID.low, record.fence.epoch, record.fence.sequence,
            record.fenceEpochID.high, record.fenceEpochID.low, bits(record.cap.rawValue),
            bits(record.start.rawNanoseconds), bits(record.start.bootNanoseconds),
            bits(record.leaseNanoseconds), bits(record.fallback.rawValue), record.fallbackVersion,
            0,
        ]
        var bytes = mark
        for field in fields { append(field, to: &bytes) }
        append(checksum(bytes[...]), to: &bytes)
        return bytes
    }

    /// Reads a record; nil when the bytes are not exactly what ``encode(_:)`` made.
    static func decode(_ bytes: [UInt8]) -> LeaseRecord? {
        let bodyCount = mark.count + 8 * fieldCount
        guard bytes.count == bodyCount + 8, Array(bytes[..<mark.count]) == mark,
            field(bytes, at: bodyCount) == checksum(bytes[..<bodyCount])
        else { return nil }
        let fields = (0..<fieldCount).map { field(bytes, at: mark.count + 8 * $0) }
        let record = LeaseRecord(
            bootID: RandomID(high: fields[0], low: fields[1]),
            fence: LeaseOrder(epoch: fields[2], sequence: fields[3]),
            fenceEpochID: RandomID(high: fields[4], low: fields[5]),
            cap: Milliwatts(signed(fields[6])),
            start: ClockReading(
                rawNanoseconds: signed(fields[7]), bootNanoseconds: signed(fields[8])),
            leaseNanoseconds: signed(fields[9]), fallback: Milliwatts(signed(fields[10])),
            fallbackVersion: fields[11])
        let powers = Milliwatts.zero...Milliwatts.maximum
        guard powers.contains(record.cap), powers.contains(record.fallback) else { return nil }
        return record
    }

    private static func bits(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }
    private static func signed(_ bits: UInt64) -> Int64 { Int64(bitPattern: bits) }

    private static func append(_ field: UInt64, to bytes: inout [UInt8]) {
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: field >> UInt64(8 * shift))) }
    }

    private static func field(_ bytes: [UInt8], at start: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) }
    }

    /// FNV-1a, 64 bits: finds damage, not malice; the directory belongs to the enforcer alone.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}
