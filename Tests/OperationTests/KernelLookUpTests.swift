import Basics
import Kernels
import OpenCLRuntime
import Testing

@testable import OpenCLBackend

extension Operations {
  /// How a launch finds its kernel: by what the call site writes, by text only once.
  @Suite struct KernelLookUpTests {
    private static func backend(_ family: KernelFamily) throws -> OpenCLBackend {
      try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: family, features: .portable,
        tuning: Tuning.of(OpenCLPlatforms.devices()[0], userFolder: nil))
    }

    private func format(_ number: Int) -> KernelOptions { "-DFORMAT=\(number) " }

    @Test func optionsKeepTheirText() {
      let (empty, one): (KernelOptions, KernelOptions) = ("", "-DX=1 ")
      #expect(empty.text == "" && one.text == "-DX=1 ")
      #expect(format(12).text == "-DFORMAT=12 " && format(-3).text == "-DFORMAT=-3 ")
      #expect((one + format(2) + empty + one).text == "-DX=1 -DFORMAT=2 -DX=1 ")
      #expect((empty + one) == one && (one + empty) == one)
      #expect(KernelParameters(["ROWS": 6, "COLUMNS": 4]).options.text == "-DCOLUMNS=4 -DROWS=6 ")
      var parameters = KernelParameters(["ROWS": 6])
      parameters.values["ROWS"] = 7
      #expect(parameters.options.text == "-DROWS=7 ")
    }

    @Test func optionsFromOnePlaceAreEqualWhereTheirNumbersAre() {
      #expect(format(1) == format(1) && format(1).hashValue == format(1).hashValue)
      #expect(format(1) != format(2))
      #expect(format(1) + format(2) != format(2) + format(1))
      #expect(format(1) + format(2) != format(1))
    }

    @Test func optionsOfOneTextFromTwoPlacesGiveOneKernel() throws {
      let library = try Self.backend(.cpu).library
      let written: KernelOptions = "-DFORMAT=1 "
      #expect(written != format(1) && written.text == format(1).text)
      let kernel = try library.kernel(.embedding, "embedding", format(1))
      #expect(try library.kernel(.embedding, "embedding", written) === kernel)
      #expect(try library.kernel(.embedding, "embedding", format(1)) === kernel)
    }

    @Test func twoOptionsNamesOrSourcesGiveTwoKernels() throws {
      let library = try Self.backend(.cpu).library
      let kernel = try library.kernel(.embedding, "embedding", format(1))
      let other = try library.kernel(.embedding, "embedding", format(2))
      #expect(other !== kernel && other.options.hasSuffix("-DFORMAT=2 "))
      #expect(kernel.options.hasSuffix("-DFORMAT=1 "))
      let sum = try library.kernel(.embeddingSum, "embedding_sum", format(1))
      #expect(sum.name == "embedding_sum")
      // A name that the source does not have is refused after one that it has was found.
      #expect(throws: (any Error).self) { try library.kernel(.embedding, "embedding_sum", format(1)) }
      #expect(try library.kernel(.embedding, "embedding", format(1)) === kernel)
    }

    /// What asks for `wgmma` is a table, so the table is what to change where a driver refuses it.
    @Test func aRefusedProgramOfSM90aNamesTheParameterThatAsksForIt() throws {
      let backend = try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu,
        features: KernelFeatures(warpgroupInstructions: .emulated))
      let refused = #expect(throws: RetortError.self) {
        try backend.library.kernel(.productWGMMA, "product_wgmma", "-DWARPGROUPS=none ")
      }
      #expect(refused?.code == .kernelBuildFailed && refused?.message.contains("none") == true)
      #expect(refused?.remedy.contains("WGMMA to 0 for product_wgmma_choice.nvidia") == true)
      let other = #expect(throws: RetortError.self) {
        try backend.library.kernel(.packWGMMA, "product_wgmma_left", "-Dlane=+ ")
      }
      #expect(other?.code == .kernelBuildFailed && other?.remedy.contains("WGMMA") == false)
    }

    @Test(arguments: KernelFamily.allCases) func aChangedTuningIsHonoured(_ family: KernelFamily) throws {
      let backend = try Self.backend(family)
      let tunable: TunableKernel = family == .cpu ? .elementwiseCPU : .elementwiseGPU
      let before = backend.tuning[tunable]["SEGMENT"]
      #expect(backend.rowOptions.segment == before)
      #expect(try backend.rowKernel(.add, "add", width: 16).options.contains("-DSEGMENT=\(before) "))
      let after = before == 8 ? 16 : 8
      backend.tuning[tunable] = KernelParameters(["SEGMENT": after])
      #expect(backend.rowOptions.segment == after)
      #expect(try backend.rowKernel(.add, "add", width: 16).options.contains("-DSEGMENT=\(after) "))
      let x = try backend.matrix([Float](repeating: 2, count: 3 * 33), 33)
      #expect(try backend.read(backend.add(x, x)) == [Float](repeating: 4, count: 3 * 33))
      for (index, shapeClass) in MatMulClass.all.enumerated() {
        let tiles = index + 2
        backend.tuning[.matmulTile, shapeClass] = KernelParameters([
          "block_tiles": tiles, "tasks_per_unit": 1,
        ])
      }
      let found = [(64, WeightFormat.f32), (65, .f32), (64, .bf16), (65, .q4_1)].map {
        backend.tuned.matmulTile(rows: $0.0, $0.1).tiles
      }
      #expect(found == [2, 3, 4, 5])
    }

    @Test func rowsOfWholeVectorsAndHeldWidthsHaveTheirOptions() throws {
      let rows = try Self.backend(.gpu).rowOptions
      let columns = rows.group * rows.vector
      func text(_ places: UInt32, _ width: Int, _ held: Int?) -> String {
        rows.options(places: places, width: width, held: held).text
      }
      #expect(text(0, 64, nil).contains("-DALIGNED=1 ") && !text(0, 64, nil).contains("HELD"))
      #expect(text(1, 64, nil).contains("-DALIGNED=0 ") && text(8, 63, nil).contains("-DALIGNED=0 "))
      let held = [(1, 1), (columns, 1), (columns + 1, 2), (3 * columns, 4), (8 * columns, 8)]
      for (width, vectors) in held + [(8 * columns + 1, 0)] {
        #expect(text(0, width, width).contains("-DHELD=\(vectors) "), "\(width) columns")
      }
    }
  }
}
