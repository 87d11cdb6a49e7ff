// SPDX-License-Identifier: Apache-2.0

// Goal: what an operator writes names the store that was meant, or the error says what is wrong.
// Method: tables of texts.

import DecisionStore
import DecisionStoreEtcd
import StoreAccess
import Testing

@Suite struct StoreLocationTests {
    @Test("Good locations are read, and written as they were read")
    func good() throws {
        #expect(
            try StoreLocation("sqlite:/var/lib/busbar").kind == .sqlite(folder: "/var/lib/busbar"))
        #expect(try StoreLocation("sqlite:here").description == "sqlite:here")
        let two = try StoreLocation("etcd://a.example:2379,[::1]:2380")
        #expect(
            two.kind
                == .etcd(
                    endpoints: [
                        EtcdOptions.Endpoint(host: "a.example", port: 2379),
                        EtcdOptions.Endpoint(host: "::1", port: 2380),
                    ], prefix: "busbar"))
        #expect(two.description == "etcd://a.example:2379,[::1]:2380/busbar")
        #expect(try StoreLocation(two.description) == two)
        #expect(two.isShared)
        let prefixed = try StoreLocation("etcd://127.0.0.1:2379/power/europe")
        #expect(prefixed.description == "etcd://127.0.0.1:2379/power/europe")
    }

    @Test(
        "Bad locations are refused with the part that is wrong",
        arguments: [
            ("", "neither"), ("/var/lib/busbar", "neither"), ("http://a:1", "neither"),
            ("sqlite:", "no folder"), ("etcd://", "not HOST:PORT"),
            ("etcd://a", "'a'"), ("etcd://a:0", "'a:0'"), ("etcd://a:1,b", "'b'"),
            ("etcd://a:1,,b:2", "''"), ("etcd://a:70000", "'a:70000'"),
            ("etcd://::1:2379", "'::1:2379'"), ("etcd://a:1/", "bad prefix"),
            ("etcd://a:1/x y", "bad prefix"),
        ])
    func bad(text: String, part: String) {
        #expect {
            try StoreLocation(text)
        } throws: { error in
            guard case .invalid(let reason)? = error as? StoreError else { return false }
            return reason.contains(part)
        }
    }
}
