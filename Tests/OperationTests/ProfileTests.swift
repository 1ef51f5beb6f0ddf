import Basics
import Foundation
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  /// What a profile tells of the operations that a backend ran.
  @Suite struct ProfileTests {
    private static let width = 64

    /// A little program that ends with a read; what it computes.
    private static func run(_ backend: any Backend, rows: Int = 20, rounds: Int = 1) throws -> [Float] {
      let weight = try backend.loadMatrix(
        [TestWeight(random: 3, width, width, .q8_0).source], compute: .lean)
      var random = TestRandom(5)
      let scale = try backend.vector(random.floats(width))
      var x = try backend.matrix(random.activations(rows * width), width)
      for _ in 0..<rounds {
        let y = try backend.matmul(backend.rmsNorm(x, weight: scale, epsilon: 1e-5), weight, bias: nil)
        x = try backend.add(x, backend.siluMul(gate: y, up: x))
      }
      return try backend.read(x)
    }

    /// Profiles `body` on `backend`.
    private static func profile(_ backend: any Backend, events: Int = 0, _ body: () throws -> Void) rethrows
      -> Profiler
    {
      let profiler = Profiler(eventLimit: events)
      backend.profiler = profiler
      defer { backend.profiler = nil }
      try body()
      return profiler
    }

    private static let devices = BackendUnderTest.all.filter {
      (try? $0.backend) is OpenCLBackend || (try? $0.backend.device.backend) == "cpu"
    }

    @Test(arguments: devices)
    func profilingChangesNoBit(_ under: BackendUnderTest) throws {
      let backend = try under.backend
      let plain = try Self.run(backend, rounds: 3)
      var profiled: [Float] = []
      _ = try Self.profile(backend) { profiled = try Self.run(backend, rounds: 3) }
      #expect(Judge.bitDifference(plain[...], profiled[...]) == nil)
      #expect(Judge.bitDifference(plain[...], try Self.run(backend, rounds: 3)[...]) == nil)
    }

    @Test(arguments: devices)
    func everyCallIsCountedWithWhatItsDescriptionStates(_ under: BackendUnderTest) throws {
      let backend = try under.backend
      let profiler = try Self.profile(backend) { _ = try Self.run(backend, rounds: 4) }
      #expect(Set(profiler.totals.keys) == ["rms_norm", "matmul", "silu_mul", "add"])
      #expect(profiler.totals.values.allSatisfy { $0.calls == 4 })
      #expect(profiler.totals["matmul"]?.flops == 4 * 2 * 20 * Self.width * Self.width)
      let span = try #require(profiler.span)
      #expect(span.end > span.start)
    }

    @Test func kernelsBelongToTheirOperationsAndAddUp() throws {
      for under in Self.devices {
        guard let backend = try under.backend as? OpenCLBackend else { continue }
        let profiler = try Self.profile(backend) { _ = try Self.run(backend, rounds: 4) }
        let kernels = profiler.kernelTotals
        for (operation, total) in profiler.totals {
          let own = kernels.filter { $0.operation == operation }
          #expect(!own.isEmpty, "\(operation)")
          #expect(own.reduce(0) { $0 + $1.nanoseconds } == total.nanoseconds)
          #expect(own.reduce(0) { $0 + $1.flops } == total.flops)
          #expect(own.reduce(0) { $0 + $1.bytes } == total.bytes)
        }
        func names(_ operation: String) -> Set<String> {
          Set(kernels.filter { $0.operation == operation }.map { profiler.kernels[$0.kernel].name })
        }
        #expect(names("rms_norm") == ["rms_norm"])
        #expect(names("silu_mul") == ["silu_mul"])
        #expect(profiler.queue.launches == kernels.reduce(0) { $0 + $1.calls })
        let copied = profiler.copies.values.reduce(0) { $0 + $1.nanoseconds }
        #expect(
          profiler.queue.busyNanoseconds == kernels.reduce(0) { $0 + $1.nanoseconds } + copied)
        #expect(profiler.copies["read_buffer"]?.bytes == 20 * Self.width * 4)
        // Loading is not counted: the only writes are the scale and the input.
        #expect(profiler.copies["write_buffer"]?.calls == 2)
        #expect(profiler.kernels.allSatisfy { ($0.workGroupLimit ?? 0) > 0 })
      }
    }

    @Test func anOperationIsKnownOnceTheHostHasWaited() throws {
      let backend = try #require(Self.devices.compactMap { try? $0.backend as? OpenCLBackend }.first)
      let profiler = Profiler()
      backend.profiler = profiler
      defer { backend.profiler = nil }
      let x = try backend.matrix([Float](repeating: 1, count: 64), 64)
      for _ in 0..<5 { _ = try backend.add(x, x) }
      try backend.synchronize()
      #expect(profiler.totals["add"]?.calls == 5)
      _ = try backend.add(x, x)
      backend.profiler = nil
      #expect(profiler.totals["add"]?.calls == 6)
    }

    @Test(arguments: devices)
    func aTraceIsJSONInTheOrderOfTime(_ under: BackendUnderTest) throws {
      let backend = try under.backend
      let profiler = try Self.profile(backend, events: 1000) { _ = try Self.run(backend, rounds: 3) }
      var trace = ChromeTrace(originNanoseconds: try #require(profiler.span).start)
      trace.add(profiler, process: 2, name: "device")
      let object = try JSONSerialization.jsonObject(with: Data(trace.json.utf8)) as? [String: Any]
      let events = try #require(object?["traceEvents"] as? [[String: Any]])
      #expect(events.allSatisfy { $0["pid"] as? Int == 2 })
      let calls = events.filter { $0["ph"] as? String == "X" }
      #expect(calls.count { $0["name"] as? String == "rms_norm" } == (backend is OpenCLBackend ? 6 : 3))
      for row in Set(calls.compactMap { $0["tid"] as? Int }) {
        let own = calls.filter { $0["tid"] as? Int == row }
        for (one, next) in zip(own, own.dropFirst()) {
          let start = try #require(one["ts"] as? Double)
          #expect(try start <= #require(next["ts"] as? Double))
        }
      }
    }

    @Test func eventsStopAtTheirLimitAndSumsGoOn() throws {
      let backend = try #require(Self.devices.compactMap { try? $0.backend as? OpenCLBackend }.first)
      let profiler = try Self.profile(backend, events: 7) { _ = try Self.run(backend, rounds: 5) }
      #expect(profiler.events.count == 7)
      #expect(profiler.droppedEvents > 0)
      #expect(profiler.totals["add"]?.calls == 5)
    }
  }
}
