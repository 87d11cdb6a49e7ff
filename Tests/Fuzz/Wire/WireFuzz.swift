// SPDX-License-Identifier: Apache-2.0

import FleetModel
import FuzzDriver
import Wire

/// The decoders of the protocol.
///
/// Every target checks more than that nothing crashes: what is read can be written, and reads back
/// as the same value.
enum WireTarget: String, FuzzTarget {
    case frame
    case agent
    case enforcer
    case hardwareRequest = "hardware-request"
    case hardwareReply = "hardware-reply"
    case operatorRequest = "operator-request"
    case operatorReply = "operator-reply"
    case grant
    case plan
    case store

    func run(_ input: [UInt8]) {
        switch self {
        case .frame: checkSplitter(input)
        case .agent:
            checkMessage(AgentMessage.self, input)
            checkReportBuffer(input)
        case .enforcer: checkMessage(EnforcerMessage.self, input)
        case .hardwareRequest: checkMessage(HardwareRequest.self, input)
        case .hardwareReply: checkMessage(HardwareReply.self, input)
        case .operatorRequest: checkMessage(OperatorRequest.self, input)
        case .operatorReply: checkMessage(OperatorReply.self, input)
        case .grant: checkMessage(LeaseGrant.self, input)
        case .plan: checkMessage(FleetPlan.self, input)
        case .store:
            checkMessage(LedgerShard.self, input)
            checkMessage(SiteRecord.self, input)
            checkMessage(JobRecord.self, input)
            checkMessage(FleetRecord.self, input)
            checkMessage(EventRecord.self, input)
            checkMessage(NodeRecord.self, input)
            checkMessage(ReservationRecord.self, input)
        }
    }
}

/// The program's entry: SwiftPM renames `main` of an executable target to `<target>_main`.
@_cdecl("WireFuzz_main")
func wireFuzzMain(
    _ argumentCount: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> CInt {
    FuzzDriver.main(WireTarget.self, argumentCount, arguments)
}

/// What can be read can be written, and comes back as the same value.
private func checkMessage<Message: WireMessage & Equatable>(
    _ type: Message.Type, _ input: [UInt8]
) {
    var arena = WireArena(limit: min(Message.arenaLimit, ArenaLimit.large))
    guard let value = try? Message.decode(input.span.bytes, arena: &arena) else { return }
    var bytes: [UInt8] = []
    value.encode(into: &bytes, arena: &arena)
    do {
        let again = try Message.decode(bytes.span.bytes, arena: &arena)
        precondition(again == value, "\(Message.self) changes when it is written and read")
    } catch {
        preconditionFailure("\(Message.self) is read but not read again: \(error)")
    }
}

/// Reading into a buffer finds what reading by value finds.
private func checkReportBuffer(_ input: [UInt8]) {
    var arena = WireArena()
    var report = TelemetryReport(gpuCount: 8)
    let value = try? AgentMessage.decode(input.span.bytes, arena: &arena)
    let received = try? AgentMessage.decode(input.span.bytes, report: &report, arena: &arena)
    switch (value, received) {
    case (nil, nil): break
    case (.report(let expected)?, .report?): precondition(report == expected, "the reports differ")
    case (let expected?, .message(let message)?):
        precondition(message == expected, "the messages differ")
    default: preconditionFailure("one way of reading accepts what the other one refuses")
    }
}

/// The splitter finds what the plainest reading finds, and holds at most a frame and a piece.
private func checkSplitter(_ input: [UInt8]) {
    guard let stream = FrameStream(input) else { return }
    var splitter = FrameSplitter(limit: stream.limit)
    var found: [[UInt8]] = []
    var isRefused = false
    for piece in stream.pieces where !isRefused {
        splitter.append(Array(piece))
        do {
            while let frame = try splitter.next() { found.append(frame) }
        } catch {
            isRefused = true
        }
        let most = stream.limit + FrameHeader.byteCount + stream.pieceByteCount
        precondition(splitter.pendingByteCount <= most, "the splitter holds too much")
    }
    let expected = stream.frames(fromLength: 0)
    precondition(found == expected.whole && isRefused == expected.isRefused, "other frames")
}
