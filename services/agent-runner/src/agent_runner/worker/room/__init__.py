"""The LiveKit room.

Private names of Pipecat and the LiveKit SDK that this room overrides or touches (docs/decisions/0034):

- _ffi_client: FfiClient, ffi_cb_fnc, get_ffi_lib
- FfiClient: _instance
- ffi_pb2: FfiEvent
- LiveKitTransport: _client, _params
- LiveKitTransportClient: _async_on_data_received, _async_on_participant_disconnected, _async_on_track_subscribed,
  _async_on_track_unsubscribed, _audio_queue, _audio_source, _audio_streams, _audio_track, _audio_tracks, _callbacks,
  _close_all_streams, _close_audio_stream, _connected, _disconnect_counter, _on_disconnected_wrapper, _out_sample_rate,
  _params, _participant_connected, _participant_id, _process_audio_stream, _task_manager
"""
