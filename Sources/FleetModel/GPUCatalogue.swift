// SPDX-License-Identifier: Apache-2.0

/// The GPU models that Busbar knows by itself; files may define more.
///
/// Figures are per GPU. `isEstimate` is set where any of a model's powers is neither a vendor's nor a
/// measured figure; `source` says which. The default floor is one rule for all, no measurement: 60 %
/// of the maximum, but not below the minimum cap. At that cap dense training keeps roughly two
/// thirds of its pace, and token generation nearly all of it.
package enum GPUCatalogue {
    /// All known models, by vendor and generation.
    package static let models: [GPUModel] = nvidiaDataCentre + nvidiaEarlier + amd

    /// The model of a name, whatever the case of its letters, or nil.
    package static func model(named name: some StringProtocol) -> GPUModel? {
        let wanted = name.lowercased()
        return models.first { $0.name.lowercased() == wanted }
    }

    /// The floor of a model that has none of its own: 60 % of its maximum, not below its minimum cap.
    package static func defaultFloor(minimumCap: Milliwatts, maximumCap: Milliwatts) -> Milliwatts {
        max(minimumCap, Milliwatts(maximumCap.rawValue / 5 * 3))
    }

    private static let nvidiaDataCentre: [GPUModel] = [
        entry(
            "A100-SXM", .nvidia, idle: 54, minimum: 100, maximum: 400, gib: 80, estimate: false,
            "idle measured without a CUDA context (arXiv 2605.23918); range as reported by NVML"),
        entry(
            "H100-SXM", .nvidia, idle: 72, minimum: 200, maximum: 700, gib: 80, estimate: false,
            "idle measured without a CUDA context (arXiv 2605.23918, 2604.07345); range from the "
                + "DGX H100 manual"),
        entry(
            "H200-SXM", .nvidia, idle: 72, minimum: 200, maximum: 700, gib: 141, estimate: true,
            "range as swept in published measurements; idle taken from H100"),
        entry(
            "B200", .nvidia, idle: 100, minimum: 200, maximum: 1000, gib: 180, estimate: true,
            "maximum from the vendor's data sheet; idle and minimum are estimates"),
        entry(
            "GB200", .nvidia, idle: 120, minimum: 200, maximum: 1200, gib: 186, estimate: true,
            "range from the vendor's power service; idle is an estimate"),
        entry(
            "GB300", .nvidia, idle: 120, minimum: 200, maximum: 1400, gib: 288, estimate: true,
            "maximum as reported by the driver; minimum from a vendor's example; idle is an estimate"
        ),
        entry(
            "VR200", .nvidia, idle: 200, minimum: 300, maximum: 1800, gib: 288, estimate: true,
            "maximum from press reports before release; idle and minimum are estimates"),
    ]

    private static let nvidiaEarlier: [GPUModel] = [
        entry(
            "T4", .nvidia, idle: 10, minimum: 60, maximum: 70, gib: 16, estimate: true,
            "idle and maximum as used in published placement studies; minimum is an estimate"),
        entry(
            "A10", .nvidia, idle: 30, minimum: 100, maximum: 150, gib: 24, estimate: true,
            "idle and maximum as used in published placement studies; minimum is an estimate"),
        entry(
            "P100", .nvidia, idle: 25, minimum: 125, maximum: 250, gib: 16, estimate: true,
            "idle and maximum as used in published placement studies; minimum is an estimate"),
        entry(
            "V100-SXM-16", .nvidia, idle: 30, minimum: 150, maximum: 300, gib: 16, estimate: true,
            "idle and maximum as used in published placement studies; minimum is an estimate"),
        entry(
            "V100-SXM-32", .nvidia, idle: 30, minimum: 150, maximum: 300, gib: 32, estimate: true,
            "idle and maximum as used in published placement studies; minimum is an estimate"),
    ]

    private static let amd: [GPUModel] = [
        entry(
            "MI300X", .amd, idle: 180, minimum: 500, maximum: 750, gib: 192, estimate: true,
            "idle observed at 170 to 193 W; minimum is the lowest cap seen to be accepted, the true "
                + "one may be lower"),
        entry(
            "MI325X", .amd, idle: 180, minimum: 500, maximum: 1000, gib: 256, estimate: true,
            "maximum from the vendor; idle and minimum are estimates"),
        entry(
            "MI350X", .amd, idle: 200, minimum: 500, maximum: 1000, gib: 288, estimate: true,
            "maximum is the vendor's board power; idle and minimum are estimates"),
        entry(
            "MI355X", .amd, idle: 200, minimum: 500, maximum: 1400, gib: 288, estimate: true,
            "maximum is the vendor's board power; idle and minimum are estimates"),
        entry(
            "MI450", .amd, idle: 250, minimum: 800, maximum: 2300, gib: 432, estimate: true,
            "not disclosed: derived from 245 kW for a rack of 72; every figure is an estimate"),
    ]

    /// One row of the tables above, in watts and GiB.
    private static func entry(
        _ name: String, _ vendor: Vendor, idle: Int64, minimum: Int64, maximum: Int64, gib: UInt32,
        estimate: Bool, _ source: String
    ) -> GPUModel {
        let minimumCap = Milliwatts.watts(minimum)
        let maximumCap = Milliwatts.watts(maximum)
        return GPUModel(
            name: name, vendor: vendor, idle: .watts(idle), minimumCap: minimumCap,
            maximumCap: maximumCap,
            defaultFloor: defaultFloor(minimumCap: minimumCap, maximumCap: maximumCap),
            memoryMiB: gib * 1024, isEstimate: estimate, source: source)
    }
}
