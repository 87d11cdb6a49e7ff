// SPDX-License-Identifier: Apache-2.0

/// One point of a curve of watts over level.
package struct PowerCurvePoint: Hashable, Sendable {
    /// The level in millionths: 0 at the first point, 1,000,000 at the last.
    package var levelPPM: UInt32
    package var milliwatts: UInt32

    package init(levelPPM: UInt32, milliwatts: UInt32) {
        self.levelPPM = levelPPM
        self.milliwatts = milliwatts
    }
}

/// Why a list of points is no curve.
package enum PowerCurveDefect: Error, Hashable, Sendable {
    /// Fewer than 2 or more than ``PowerCurves/maximumPointCount`` points.
    case pointCount(Int)
    /// The first level is not 0 or the last is not 1,000,000.
    case ends
    /// The levels do not rise at this point.
    case levelOrder(point: Int)
    /// The watts fall at this point.
    case falling(point: Int)
    /// The slope falls at this point: not convex.
    case notConvex(point: Int)
    /// The piece that ends at this point is steeper than 2^32 mW per unit of level.
    case tooSteep(point: Int)
}

/// Convex piecewise-linear curves of watts over level, shared by the GPUs that refer to them.
///
/// A piece starts exactly at its point and rises by its slope; slopes are rounded down to 2^-16 mW
/// per unit of level, so a piece ends less than 2^-16 mW below the next point. That is the curve, by
/// definition; nothing else rounds it.
package struct PowerCurves: Hashable, Sendable {
    /// The most points of one curve.
    package static let maximumPointCount = 8
    /// The fractional bits of a slope.
    package static let slopeFractionalBits: UInt64 = 16

    /// The first point of each curve, and the end.
    ///
    /// Shape: `count + 1` entries.
    package private(set) var starts: [Int32] = [0]
    /// The level of each point in units of 2^-52, rounded down.
    package private(set) var levels: [UInt64] = []
    /// The watts of each point in milliwatts.
    package private(set) var milliwatts: [UInt32] = []
    /// The slope of the piece after each point, in 2^-16 mW per unit of level; 0 after the last.
    package private(set) var slopes: [UInt64] = []

    package init() {}

    /// The number of curves.
    package var count: Int { starts.count - 1 }

    /// Adds a curve.
    ///
    /// - Parameter points: 2 to 8 points with rising levels from 0 to 1,000,000 ppm and convex,
    ///   never falling watts.
    /// - Returns: the curve's index.
    /// - Throws: what is wrong with the points; nothing is added then.
    package mutating func add(
        _ points: [PowerCurvePoint]
    ) throws(PowerCurveDefect) -> Int32 {
        try PowerCurves.check(points)
        for (position, point) in points.enumerated() {
            levels.append(PowerCurves.rawLevel(ppm: point.levelPPM))
            milliwatts.append(point.milliwatts)
            let isLast = position == points.count - 1
            slopes.append(isLast ? 0 : PowerCurves.slope(points[position], points[position + 1]))
        }
        starts.append(Int32(levels.count))
        return Int32(count - 1)
    }

    /// The watts at level 0 of a curve, in milliwatts.
    package func floor(of curve: Int32) -> UInt32 { milliwatts[Int(starts[Int(curve)])] }

    /// The watts at level 1 of a curve, in milliwatts.
    package func full(of curve: Int32) -> UInt32 { milliwatts[Int(starts[Int(curve) + 1]) - 1] }

    // MARK: - Private

    /// `ppm * 2^52 / 10^6`, rounded down.
    ///
    /// The product has at most 72 bits.
    private static func rawLevel(ppm: UInt32) -> UInt64 {
        let product = UInt64(ppm).multipliedFullWidth(by: PowerLevel.fullRawValue)
        return UInt64(1_000_000).dividingFullWidth(product).quotient
    }

    /// The slope of a piece, rounded down: rise * 2^(52+16) / run, with run in units of 2^-52.
    private static func slope(_ start: PowerCurvePoint, _ end: PowerCurvePoint) -> UInt64 {
        let rise = UInt128(end.milliwatts - start.milliwatts)
        let run = UInt128(rawLevel(ppm: end.levelPPM) - rawLevel(ppm: start.levelPPM))
        return UInt64(rise << 68 / run)
    }

    private static func check(_ points: [PowerCurvePoint]) throws(PowerCurveDefect) {
        guard (2...maximumPointCount).contains(points.count) else {
            throw .pointCount(points.count)
        }
        guard points[0].levelPPM == 0, points[points.count - 1].levelPPM == 1_000_000 else {
            throw .ends
        }
        for index in 1..<points.count {
            let (before, point) = (points[index - 1], points[index])
            guard point.levelPPM > before.levelPPM else { throw .levelOrder(point: index) }
            guard point.milliwatts >= before.milliwatts else { throw .falling(point: index) }
            let rise = UInt64(point.milliwatts - before.milliwatts)
            let run = UInt64(point.levelPPM - before.levelPPM)
            // rise / (run / 10^6) <= 2^32; rise < 2^32, so the product stays under 2^52.
            guard rise * 1_000_000 <= run << 32 else { throw .tooSteep(point: index) }
            guard index + 1 < points.count else { continue }
            let next = points[index + 1]
            guard next.levelPPM > point.levelPPM else { throw .levelOrder(point: index + 1) }
            guard next.milliwatts >= point.milliwatts else { throw .falling(point: index + 1) }
            let nextRise = UInt64(next.milliwatts - point.milliwatts)
            let nextRun = UInt64(next.levelPPM - point.levelPPM)
            // rise / run <= nextRise / nextRun, multiplied out: under 2^32 * 2^20.
            guard rise * nextRun <= nextRise * run else { throw .notConvex(point: index) }
        }
    }
}
