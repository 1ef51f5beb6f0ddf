import Basics
import Testing

@testable import Tokenizers

struct ChatTemplateTests {
  private let smollm =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    + "{{ '<|im_start|>system\nYou are a test.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + "
    + "'\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
  private let qwen =
    "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- 'It\\'s' }}{%- else %}"
    + "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    + "{{- '<|im_start|>system\\nIt\\'s a test.\\nYes.<|im_end|>\\n' }}{%- endif %}"

  @Test func defaultSystemMessageIsReadFromTheTemplate() throws {
    #expect(try ChatTemplate.detect(from: smollm) == ChatTemplate(.chatML, defaultSystem: "You are a test."))
    #expect(try ChatTemplate.detect(from: qwen).defaultSystem == "It's a test.\nYes.")
  }

  @Test func chatMLPutsTheDefaultSystemFirstOnlyWhereThereIsNone() throws {
    let template = try ChatTemplate.detect(from: smollm)
    #expect(
      template.render([ChatMessage(.user, " Hi\n")])
        == "<|im_start|>system\nYou are a test.<|im_end|>\n<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n"
    )
    #expect(
      template.render([ChatMessage(.system, "S"), ChatMessage(.user, "U")], addGenerationPrompt: false)
        == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n")
  }

  @Test func llama3TrimsContentsAndStartsWithTheBeginToken() throws {
    let template = try ChatTemplate.detect(from: "<|start_header_id|> … <|eot_id|>")
    #expect(
      template.render([ChatMessage(.user, " Hi\n")], bosToken: "<B>")
        == "<B><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        + "<|start_header_id|>assistant<|end_header_id|>\n\n")
  }

  @Test func unknownTemplateIsNamedWithTheWayToOverrideIt() throws {
    let error = try #require(throws: RetortError.self) {
      try ChatTemplate.detect(from: "[INST] {{ message }} [/INST]")
    }
    #expect(error.code == .unsupported)
    #expect(error.message.contains("[INST]"))
    #expect(error.remedy.contains("--template chatml"))
    #expect(throws: RetortError.self) { try ChatTemplate(named: "gothic") }
  }

  @Test func incompleteCharacterIsHeldUntilItIsWholeOrTheTextEnds() throws {
    let tokenizer = try Fixture.tokenizer(.gpt2)
    let bytes = try "é".utf8.map {
      try #require(tokenizer.id(of: String(decoding: ByteLevelAlphabet.character(of: $0), as: UTF8.self)))
    }
    var stream = StreamingDetokenizer(tokenizer)
    #expect(stream.append(bytes[0]) == "")
    #expect(stream.append(bytes[1]) == "é")
    #expect(stream.append(bytes[0]) == "")
    #expect(stream.finish() == "\u{FFFD}")
  }
}
