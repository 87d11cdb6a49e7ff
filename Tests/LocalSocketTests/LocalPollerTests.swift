// SPDX-License-Identifier: Apache-2.0

// Goal: frames arrive whole and in order, and no peer can hurt the loop: not by its lengths, not by
// its silence, not by its number. Method: real sockets in a directory of the test; a poller that is
// turned by hand on the test's thread.

import Glibc
import LocalSocket
import Testing

/// A poller, turned until something is true.
private final class Server {
    let poller: LocalPoller
    private(set) var events: [LocalEvent] = []

    init(path: String, limits: LocalPoller.Limits = LocalPoller.Limits()) throws {
        poller = LocalPoller(limits: limits)
        try poller.listen(path: path)
    }

    /// Turns the loop until `isEnough` of all events so far; at most some seconds.
    func turn(until isEnough: ([LocalEvent]) -> Bool) throws {
        var turned: [LocalEvent] = []
        for _ in 0..<6000 {
            poller.wait(timeoutNanoseconds: 5_000_000, into: &turned)
            events += turned
            if isEnough(events) { return }
        }
        Issue.record("did not happen; events so far: \(events)")
    }

    var frames: [[UInt8]] {
        events.compactMap { if case .frame(_, let payload) = $0 { payload } else { nil } }
    }

    var opened: [ConnectionID] {
        events.compactMap { if case .opened(let id) = $0 { id } else { nil } }
    }

    var closed: [LocalSocketError] {
        events.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } }
    }
}

private func count(_ events: [LocalEvent], of matches: (LocalEvent) -> Bool) -> Int {
    events.count(where: matches)
}

private func isFrame(_ event: LocalEvent) -> Bool { if case .frame = event { true } else { false } }
private func isClosed(_ event: LocalEvent) -> Bool {
    if case .closed = event { true } else { false }
}
private func isOpened(_ event: LocalEvent) -> Bool {
    if case .opened = event { true } else { false }
}

@Suite("Local poller")
struct LocalPollerTests {
    @Test("Frames go both ways, whole and in order, also those that left together")
    func roundTrip() throws {
        let directory = try TemporaryDirectory()
        let server = try Server(path: directory.path + "/s")
        let client = try LocalClient(
            path: directory.path + "/s", timeoutNanoseconds: 20_000_000_000)
        let sent = (0..<100).map { index in
            [UInt8](repeating: UInt8(index), count: index * 37)
        }
        for payload in sent { client.enqueue(payload) }
        try client.flush()
        try server.turn { count($0, of: isFrame) == sent.count }
        #expect(server.frames == sent)
        let id = try #require(server.opened.first)
        for payload in sent {
            let didSend = server.poller.send(payload, to: id)
            #expect(didSend)
        }
        try server.turn { _ in true }
        for payload in sent { #expect(try client.receive() == payload) }
    }

    @Test("A poller dials as well, and learns of its peer's end")
    func dialing() throws {
        let directory = try TemporaryDirectory()
        let server = try Server(path: directory.path + "/s")
        let dialer = LocalPoller()
        let id = try dialer.connect(path: directory.path + "/s")
        dialer.send([1, 2, 3], to: id)
        var events: [LocalEvent] = []
        dialer.wait(timeoutNanoseconds: 0, into: &events)
        try server.turn { count($0, of: isFrame) == 1 }
        #expect(server.frames == [[1, 2, 3]])
        server.poller.close(try #require(server.opened.first))
        for _ in 0..<1000 where events.isEmpty {
            dialer.wait(timeoutNanoseconds: 5_000_000, into: &events)
        }
        guard case .closed(id, .closedByPeer) = events.first else {
            Issue.record("expected the end of the connection, got \(events)")
            return
        }
        let didSend = dialer.send([4], to: id)
        #expect(!didSend)
    }

    @Test("A length above the limit ends the connection before anything is kept of it")
    func oversized() throws {
        let directory = try TemporaryDirectory()
        var limits = LocalPoller.Limits()
        limits.frameByteCount = 1000
        let server = try Server(path: directory.path + "/s", limits: limits)
        let client = try LocalClient(
            path: directory.path + "/s", timeoutNanoseconds: 20_000_000_000)
        let honest = try LocalClient(path: directory.path + "/s")
        try client.send([UInt8](repeating: 0, count: 1001))
        try server.turn { count($0, of: isClosed) == 1 }
        guard case .badFrame = server.closed.first else {
            Issue.record("closed for \(server.closed)")
            return
        }
        try honest.send([UInt8](repeating: 7, count: 1000))
        try server.turn { count($0, of: isFrame) == 1 }
    }

    @Test("A peer that does not read is cut off when its backlog is full")
    func slowReader() throws {
        let directory = try TemporaryDirectory()
        var limits = LocalPoller.Limits()
        limits.outputByteCount = 1 << 20
        let server = try Server(path: directory.path + "/s", limits: limits)
        let client = try LocalClient(
            path: directory.path + "/s", timeoutNanoseconds: 20_000_000_000)
        try client.send([1])
        try server.turn { count($0, of: isFrame) == 1 }
        let id = try #require(server.opened.first)
        let frame = [UInt8](repeating: 1, count: 100_000)
        for _ in 0..<30 { server.poller.send(frame, to: id) }
        try server.turn { count($0, of: isClosed) == 1 }
        guard case .peerTooSlow = server.closed.first else {
            Issue.record("closed for \(server.closed)")
            return
        }
    }

    @Test("More connections than allowed are closed at once; the others go on")
    func crowd() throws {
        let directory = try TemporaryDirectory()
        var limits = LocalPoller.Limits()
        limits.connectionCount = 3
        let server = try Server(path: directory.path + "/s", limits: limits)
        let clients = try (0..<5).map { _ in
            try LocalClient(path: directory.path + "/s", timeoutNanoseconds: 20_000_000_000)
        }
        try server.turn { count($0, of: isOpened) == 3 }
        #expect(throws: LocalSocketError.closedByPeer) { try clients[4].receive() }
        try clients[0].send([9])
        try server.turn { count($0, of: isFrame) == 1 }
        #expect(server.poller.connectionCount == 3)
    }

    @Test("A client that gets no answer gives up after its time limit")
    func timeout() throws {
        let directory = try TemporaryDirectory()
        let server = try Server(path: directory.path + "/s")
        let client = try LocalClient(path: directory.path + "/s", timeoutNanoseconds: 20_000_000)
        try server.turn { count($0, of: isOpened) == 1 }
        #expect(throws: LocalSocketError.timedOut) { try client.receive() }
    }
}

@Suite("Local listener")
struct LocalListenerTests {
    @Test("The socket file is its owner's alone, and goes away with the listener")
    func modeAndRemoval() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        let server = try Server(path: path)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        server.poller.stopListening()
        #expect(lstat(path, &status) != 0)
    }

    @Test("The file of a dead process is replaced, that of a live one is not")
    func staleFile() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        // Binding without listening leaves what a killed process leaves: a file nobody answers.
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        close(dead)
        let server = try Server(path: path)
        #expect(throws: LocalSocketError.addressInUse(path: path)) {
            try LocalPoller().listen(path: path)
        }
        let client = try LocalClient(path: path)
        try client.send([1])
        try server.turn { count($0, of: isFrame) == 1 }
    }

    @Test("What is not a socket is left alone, and paths that do not fit are refused")
    func badPaths() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/file"
        let file = try #require(fopen(path, "w"))
        fclose(file)
        #expect(throws: LocalSocketError.notASocket(path: path)) {
            try LocalPoller().listen(path: path)
        }
        #expect(access(path, F_OK) == 0)
        let long = directory.path + "/" + String(repeating: "x", count: 108)
        #expect(throws: LocalSocketError.pathTooLong(path: long)) {
            try LocalPoller().listen(path: long)
        }
        #expect(throws: LocalSocketError.self) { try LocalClient(path: directory.path + "/none") }
    }
}

@Suite("Service notifier")
struct ServiceNotifierTests {
    private func receive(on path: String, _ body: (borrowing ServiceNotifier) -> Void) throws
        -> [String]
    {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { target in
            target.copyBytes(from: bytes)
            if bytes[0] == UInt8(ascii: "@") { target[0] = 0 }
        }
        let length = socklen_t(2 + bytes.count + (bytes[0] == UInt8(ascii: "@") ? 0 : 1))
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length)
            }
        }
        try #require(bound == 0, "errno \(errno)")
        let notifier = ServiceNotifier(path: path)
        body(notifier)
        var texts: [String] = []
        var buffer = [UInt8](repeating: 0, count: 256)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return texts }
            texts.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }

    @Test("The supervisor hears of readiness, life and the end, by a path or an abstract name")
    func states() throws {
        let directory = try TemporaryDirectory()
        let abstract = "@busbar-test-\(getpid())-\(directory.path.suffix(6))"
        for path in [directory.path + "/notify", abstract] {
            let heard = try receive(on: path) { notifier in
                notifier.ready()
                notifier.watchdog()
                notifier.stopping()
            }
            #expect(heard == ["READY=1", "WATCHDOG=1", "STOPPING=1"])
        }
    }

    @Test("Without a supervisor, or with one that does not listen, nothing happens")
    func nobody() throws {
        let directory = try TemporaryDirectory()
        ServiceNotifier(path: "").ready()
        ServiceNotifier(path: directory.path + "/nobody").ready()
    }
}
