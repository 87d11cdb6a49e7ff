// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// One decoder that is fed with bytes of the fuzzer's making, by name.
package protocol FuzzTarget: CaseIterable, RawRepresentable<String>, Sendable {
    /// Feeds one input; ends the process when a promise of the decoder is broken.
    func run(_ input: [UInt8])
}

/// Hands the process to libFuzzer.
package enum FuzzDriver {
    /// Feeds inputs to the target that `BUSBAR_FUZZ_TARGET` names until libFuzzer has had enough.
    ///
    /// - Parameters:
    ///   - type: the targets of this program.
    ///   - argumentCount: as given to `main`.
    ///   - arguments: as given to `main`; libFuzzer reads its options and folders from them.
    /// - Returns: the exit status; 2 when no such target exists.
    package static func main<Target: FuzzTarget>(
        _ type: Target.Type, _ argumentCount: CInt,
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    ) -> CInt {
        let wanted = getenv("BUSBAR_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = Target(rawValue: wanted) else {
            let names = Target.allCases.map(\.rawValue).joined(separator: " ")
            print("BUSBAR_FUZZ_TARGET must be one of: \(names)")
            return 2
        }
        run = target.run
        var count = argumentCount
        var list = arguments
        return runDriver(&count, &list) { bytes, count in
            FuzzDriver.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
            return 0
        }
    }

    /// What the current input goes to: set once before the first one, read by one thread.
    nonisolated(unsafe) private static var run: @Sendable ([UInt8]) -> Void = { _ in }
}

/// The driver of libFuzzer, which the sanitizer's runtime brings.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ argumentCount: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ feed: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
