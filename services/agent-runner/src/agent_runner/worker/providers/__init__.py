"""Speech to text, language model, text to speech, tools, and the local models.

Private names of Pipecat that this room overrides or touches (docs/decisions/0034):

- BaseSmartTurn: _audio_buffer, _clear, _model_executor, _params, _process_speech_segment, _stop_ms
- LocalSmartTurnAnalyzerV3: _predict_endpoint, _session
- SileroVADAnalyzer: _model, _windows_since_reset
- VADAnalyzer: _get_smoothed_volume, _params, _prev_volume, _run_analyzer
- AssemblyAISTTService: _api_endpoint_base_url, _api_key, _audio_buffer, _connect, _disconnect, _handle_message,
  _receive_task, _settings, _websocket
- GroqLLMService: _settings
- InworldTTSService: _api_key, _connect, _context_texts, _contexts_with_timestamps, _cumulative_time,
  _generation_end_time, _get_websocket, _maybe_push_fallback_text, _receive_loop_running, _reset_generation_timing,
  _send_close_context, _send_context, _send_flush, _send_text, _settings, _url, _websocket
- LLMService: _generate_summary, _push_llm_text, _update_settings
- BaseOpenAILLMService: _client, _process_context
- TTSService: _aggregated_frame_sequencer, _aggregated_text_frame, _apply_force_complete, _handle_aggregated_text,
  _handle_llm_response_end, _interrupt_audio_contexts, _next_audio_context_item, _settings, _text_aggregator,
  _word_timestamp_tracker
- WebsocketTTSService: _close_connection_contexts, _reconnect_websocket, _turn_context_id
- WebsocketService: _disconnecting, _quick_failure_tracker, _receive_task_handler, _try_reconnect, _websocket,
  _websocket_connect
- AggregatedFrameSequencer: _slots
"""
