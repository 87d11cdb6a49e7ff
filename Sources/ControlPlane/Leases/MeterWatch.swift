// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Compares what the meters of power domains read with what the ledger accounts for.
///
/// The ledger says what hardware may draw if it obeys. A meter says what it draws. Where a meter reads
/// more than the charges and the overhead together, something outside the protocol's assumptions has
/// happened: hardware that ignores or loses its caps, a clock beyond its bound, a store that was put back,
/// or a load that nobody declared. A reading that is missing, zero or absurd is unknown, and says nothing.
package struct MeterWatch: Sendable {
    /// A domain that draws more than it is charged.
    package struct Alarm: Hashable, Sendable {
        /// The domain's position in the columns.
        package var domain: Int
        /// What the meter read above charges and overhead.
        package var excess: Milliwatts
    }

    /// What the meters may be wrong by, in millionths of the reading.
    private let tolerancePPM: Int64
    /// A reading above this is absurd.
    private let mostPlausible: [Milliwatts]

    /// A watch over domains; `mostPlausible` is what everything in each could draw uncapped, overhead
    /// included.
    package init(mostPlausible: [Milliwatts], tolerancePPM: Int64 = 0) {
        self.mostPlausible = mostPlausible
        self.tolerancePPM = tolerancePPM
    }

    /// Judges one reading of every meter.
    ///
    /// Shape: one entry for each domain in all three columns; a domain without a meter reads nil.
    ///
    /// - Parameters:
    ///   - readings: the highest power since the reading before, or nil.
    ///   - charges: Σ R_n of the committed ledger, the highest since the reading before.
    ///   - overhead: what else hangs there.
    /// - Returns: the domains that draw more than they account for, in order.
    package func alarms(
        readings: [Milliwatts?], charges: [Milliwatts], overhead: [Milliwatts]
    ) -> [Alarm] {
        precondition(readings.count == charges.count && readings.count == overhead.count)
        var alarms: [Alarm] = []
        for domain in readings.indices {
            guard let reading = readings[domain], reading > .zero else { continue }
            let accounted = charges[domain] + overhead[domain]
            let excess = reading - slack(of: reading) - accounted
            guard excess > .zero, reading <= mostPlausible[domain] + mostPlausible[domain] else {
                continue
            }
            alarms.append(Alarm(domain: domain, excess: excess))
        }
        return alarms
    }

    /// What a reading may be wrong by, rounded down.
    ///
    /// Whole kilowatts and the rest apart, so that no product overflows.
    private func slack(of reading: Milliwatts) -> Milliwatts {
        let (kilowatts, rest) = reading.rawValue.quotientAndRemainder(dividingBy: 1_000_000)
        return Milliwatts(kilowatts * tolerancePPM + rest * tolerancePPM / 1_000_000)
    }
}
