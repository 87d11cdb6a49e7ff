// SPDX-License-Identifier: Apache-2.0
//
// Goal: a meter that reads more than the ledger accounts for is told of, and nothing else is.

import FleetModel
import Testing

@testable import ControlPlane

@Suite struct `Meter watch` {
    private let watch = MeterWatch(mostPlausible: [.watts(1000), .watts(1000), .watts(1000)])

    private func alarms(_ readings: [Milliwatts?]) -> [MeterWatch.Alarm] {
        watch.alarms(
            readings: readings, charges: [.watts(500), .watts(500), .watts(500)],
            overhead: [.watts(100), .watts(100), .zero])
    }

    @Test func `What is within charges and overhead is silent`() {
        #expect(alarms([.watts(600), .watts(599), .watts(500)]).isEmpty)
    }

    @Test func `What is above is told with its excess`() {
        #expect(
            alarms([.watts(600), .watts(601), .watts(700)]) == [
                MeterWatch.Alarm(domain: 1, excess: .watts(1)),
                MeterWatch.Alarm(domain: 2, excess: .watts(200)),
            ])
    }

    @Test func `Missing, zero and absurd readings say nothing`() {
        #expect(alarms([nil, .zero, .watts(2001)]).isEmpty)
        #expect(!alarms([nil, .zero, .watts(2000)]).isEmpty)
    }

    @Test func `A meter's tolerance is taken off its reading`() {
        let tolerant = MeterWatch(mostPlausible: [.watts(10_000)], tolerancePPM: 20_000)
        func excess(_ watts: Int64) -> Milliwatts? {
            tolerant.alarms(
                readings: [.watts(watts)], charges: [.watts(980)], overhead: [.zero]
            ).first?.excess
        }
        #expect(excess(1000) == nil)
        #expect(excess(1001) == Milliwatts(980))
    }
}
