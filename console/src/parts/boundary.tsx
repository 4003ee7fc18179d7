/** Keeps the frame when a page fails, and says what to do. */

import { Component, type ReactNode } from "react";
import { Failure } from "./kit";

interface Props {
  /** Another place is tried again. */
  place: string;
  children: ReactNode;
}

export class Boundary extends Component<Props, { error: unknown; place: string }> {
  override state = { error: null, place: this.props.place };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps(props: Props, state: { place: string }) {
    return props.place === state.place ? null : { error: null, place: props.place };
  }

  override render() {
    return this.state.error === null ? (
      this.props.children
    ) : (
      <Failure error={this.state.error} retry={() => this.setState({ error: null })} />
    );
  }
}
