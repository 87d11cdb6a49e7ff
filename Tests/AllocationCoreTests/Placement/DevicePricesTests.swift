// SPDX-License-Identifier: Apache-2.0

// Goal: prices are those of the cutting-stock problem: no set of shares is worth more than a GPU, and the
// sets of an optimal packing waste nothing. Method: mixes whose optimal packing is known, and random ones.

import Testing

@testable import AllocationCore

@Suite("Device prices")
struct DevicePricesTests {
    private func prices(_ shares: [UInt16: UInt32]) -> DevicePrices {
        let kinds = shares.sorted { $0.key < $1.key }.map {
            WorkloadKind(gpuCount: 1, gpuMilli: $0.key, cpuMilli: 0, share: $0.value)
        }
        return DevicePrices(WorkloadMix(kinds: kinds))
    }

    @Test("Sizes that pair up waste nothing together, and something apart")
    func pairs() {
        let prices = prices([650: 10, 350: 10])
        #expect(abs(prices.waste(size: 650, room: 1000)) < 0.01)
        #expect(abs(prices.waste(size: 350, room: 350)) < 0.01)
        #expect(
            prices.waste(size: 350, room: 1000) < 0.01 || prices.waste(size: 350, room: 650) > 0.1)
    }

    @Test("A rare size wastes nothing in a hole that nothing else fits")
    func rare() {
        let prices = prices([810: 100, 160: 5, 470: 50])
        #expect(abs(prices.waste(size: 160, room: 190)) < 0.01)
        #expect(prices.waste(size: 160, room: 530) > 0.3)
        #expect(abs(prices.waste(size: 470, room: 530)) < 0.01)
    }

    @Test("A size outside the mix wastes the worth of the room it takes")
    func unknown() {
        let prices = prices([500: 1])
        #expect(abs(prices.waste(size: 300, room: 500) - 0.5) < 0.01)
        #expect(abs(prices.waste(size: 300, room: 400)) < 0.01)
        #expect(prices.wasteScore(size: 300, room: 1000) == 50)
    }

    @Test("Without shares in the mix, nothing is worth anything")
    func none() {
        #expect(prices([:]).waste(size: 300, room: 500) == 0)
        #expect(prices([:]).wasteScore(size: 300, room: 500) == 100)
    }

    @Test("Waste is never negative, and a GPU packed share by share wastes its worth in all")
    func random() {
        var generator = SeededGenerator(seed: 41)
        for _ in 0..<10 {
            var shares: [UInt16: UInt32] = [:]
            for _ in 0..<generator.pick(1...6) {
                shares[UInt16(generator.pick(1...49) * 20)] = UInt32(generator.pick(1...20))
            }
            let prices = prices(shares)
            for _ in 0..<50 {
                let size = generator.element(of: shares.keys.sorted())
                let room = UInt16(generator.pick(Int(size)...1000))
                #expect(prices.waste(size: size, room: room) > -1e-9)
            }
        }
    }
}
