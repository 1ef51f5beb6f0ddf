import Basics
import Foundation
import OpenCLBackend
import OpenCLRuntime
import TestSupport
import Testing

extension Operations {
  /// The tuner end to end on the first device, with a budget of seconds.
  @Suite struct TunerTests {
    @Test func aSmallSearchValidatesAndWritesATableThatIsUsed() throws {
      let device = try OpenCLPlatforms.devices()[0]
      let kernels: [TunableKernel] = [.productCPU, .elementwiseCPU, .normsGPU, .elementwiseGPU]
      let tuner = try Tuner(device: device, settings: .init(budgetSeconds: 2), kernels: kernels)
      var notes: [Int] = []
      let findings = try tuner.run { done, _ in notes.append(done) }
      #expect(findings.count == tuner.pairs.count && notes == Array(0...findings.count))
      for finding in findings {
        #expect(finding.failure == nil && finding.rejected.isEmpty, "\(finding.kernel)")
        #expect(finding.timed > 1 && finding.timed <= finding.choices)
        #expect(finding.bestSeconds > 0 && finding.bestSeconds <= finding.defaultSeconds)
      }

      let folder = try TuningFolder()
      let path = try #require(Tuner.path(device, folder: folder.path + "/new"))
      let older = TuningTable(
        appliesTo: .init(),
        entries: [.init(kernel: "matmul_tile.cpu", shapeClass: "f32.few", parameters: ["block_tiles": 2])])
      try tuner.table(findings, over: older).write(to: path)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/new").count == 1)
      let tuning = try Tuning.of(device, userFolder: folder.path + "/new")
      #expect(tuning.files.last == path)
      for finding in findings {
        let kernel = try #require(kernels.first { $0.name == finding.kernel })
        #expect(tuning[kernel, finding.shapeClass] == finding.best)
      }
      #expect(tuning[.matmulTile, "f32.few"]["block_tiles"] == 2, "entries of other kernels stay")
    }

    /// A kernel whose work is right for FACTOR 1 and 2, wrong for 3, off by rounding for 4, and fails for 5.
    private static func kernel(_ family: KernelFamily, changesBits: Bool) -> TunableKernel {
      TunableKernel(
        "fake", family: family,
        parameters: [TunableParameter("FACTOR", [1, 2, 3, 4, 5, 6], changesBits: changesBits)],
        objection: { parameters, _ in parameters["FACTOR"] == 6 ? "six is too many" : nil },
        trial: { backend, _ in
          let x = try backend.upload((1...64).map { Float($0) }, shape: [4, 16])
          let zero = try backend.upload([Float](repeating: 0, count: 64), shape: [4, 16])
          let dust = try backend.upload((1...64).map { Float($0) * 1e-6 }, shape: [4, 16])
          return TuningTrial(flops: 64, bytes: 768) {
            switch backend.tuning[kernel(family, changesBits: changesBits)]["FACTOR"] {
            case 3: try backend.add(x, x)
            case 4: try backend.add(x, dust)
            case 5: throw RetortError(.deviceFailure, "refused by the driver", remedy: "None.")
            default: try backend.add(x, zero)
            }
          }
        })
    }

    @Test(arguments: [false, true])
    func wrongChoicesAreRejectedAndRefusedOnesSkipped(_ changesBits: Bool) throws {
      let device = try OpenCLPlatforms.devices()[0]
      let fake = Self.kernel(device.kind == .cpu ? .cpu : .gpu, changesBits: changesBits)
      var shipped = try Tuning.of(device, userFolder: nil)
      shipped[fake] = KernelParameters(["FACTOR": 1])
      // Enough for every choice however slow the machine; the search ends when all have been tried.
      let tuner = try Tuner(
        device: device, settings: .init(budgetSeconds: 300), kernels: [fake], shipped: shipped)
      let finding = try #require(try tuner.run().first)
      #expect(finding.failure == nil && finding.choices == 6)
      let rejected = Set(finding.rejected.map { $0.prefix(8) })
      // Another rounding is wrong only where the order of sums must not change.
      #expect(rejected == (changesBits ? ["FACTOR=3"] : ["FACTOR=3", "FACTOR=4"]))
      #expect(finding.refused.contains { $0.hasPrefix("FACTOR=5: refused by the driver") })
      #expect(finding.refused.contains { $0.hasPrefix("FACTOR=6: six is too many") })
      #expect([1, 2, 4].contains(finding.best["FACTOR"]))
      #expect(tuner.table([finding]).entries.map(\.kernel) == ["fake"])
    }

    @Test func shippedParametersThatComputeSomethingElseEndTheSearchOfTheirKernel() throws {
      let device = try OpenCLPlatforms.devices()[0]
      let fake = TunableKernel(
        "fake", family: device.kind == .cpu ? .cpu : .gpu, parameters: [TunableParameter("FACTOR", [1, 2])],
        trial: { backend, _ in
          // The reference's backend has the portable family; only the device's own is wrong.
          let wrong: Float = backend.features == .portable && backend.family == .gpu ? 1 : 2
          let x = try backend.upload([wrong, .nan, 3, 4], shape: [1, 4])
          return TuningTrial(flops: 4, bytes: 32) { try backend.add(x, x) }
        })
      var shipped = try Tuning.of(device, userFolder: nil)
      shipped[fake] = KernelParameters(["FACTOR": 1])
      let tuner = try Tuner(
        device: device, settings: .init(budgetSeconds: 0.2), kernels: [fake], shipped: shipped)
      let finding = try #require(try tuner.run().first)
      #expect(finding.failure?.contains("element 0") == true)
      #expect(tuner.table([finding]).entries.isEmpty)
    }
  }
}
